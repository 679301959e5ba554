// The learning dashboard: by the access token of its address (`report`) or of its cookie from a file beside it, else by the
// session from bbb-web, whose address it builds from the root, as it does that of its words.
(async () => {
  const query = new URLSearchParams(location.search);
  const meeting = query.get('meeting');
  const [, ofCookie] = document.cookie.split('; ').map((pair) => pair.split('=')).find(([name]) => name === `ld-${meeting}`) ?? [];
  const access = query.get('report') ?? ofCookie;
  const words = await fetch('/html5client/locales/en.json');
  document.documentElement.dataset.words = words.ok ? (await words.json())['app.title'] : 'none';
  const state = document.getElementById('state');
  const byFile = async () => {
    const answer = await fetch(`${meeting}/${access}/learning_dashboard_data.json`);
    return answer.ok ? answer.json() : null;
  };
  const bySession = async () => {
    const answer = await fetch(`/bigbluebutton/api/learningDashboard?sessionToken=${query.get('sessionToken')}`);
    const { response } = await answer.json();
    return response.returncode === 'SUCCESS' ? JSON.parse(response.data) : null;
  };
  const seen = { file: access ? await byFile() : null, session: query.get('sessionToken') ? await bySession() : null };
  const data = seen.file ?? seen.session;
  if (!data) {
    state.textContent = 'denied';
    return;
  }
  document.getElementById('name').textContent = data.name;
  for (const { name } of Object.values(data.users)) {
    document.getElementById('users').append(Object.assign(document.createElement('li'), { textContent: name }));
  }
  state.textContent = Object.entries(seen).filter(([, got]) => got).map(([way]) => way).join(' ');
})();
