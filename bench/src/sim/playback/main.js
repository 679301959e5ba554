// The player of a recording, as far as it takes to see that its files are found: all of them by absolute paths on the
// page's own origin, as the real one does it.
(async () => {
  const state = document.getElementById('state');
  const found = location.pathname.match(/\/playback\/presentation\/2\.3\/([a-z0-9]{40}-[0-9]{13})/);
  if (!found) {
    state.textContent = 'This is no id of a recording.';
    return;
  }
  const files = `/presentation/${found[1]}`;
  const answer = await fetch(`${files}/metadata.xml`);
  if (!answer.ok) {
    state.textContent = 'There is no such recording.';
    return;
  }
  const metadata = new DOMParser().parseFromString(await answer.text(), 'text/xml');
  const name = metadata.querySelector('meta > meetingName')?.textContent ?? '';
  document.title = name;
  document.getElementById('name').textContent = name;
  const sound = document.getElementById('sound');
  sound.onloadedmetadata = () => { state.textContent = 'ready'; };
  sound.onseeked = () => { state.textContent = `at ${Math.round(sound.currentTime)} s`; };
  sound.onerror = () => { state.textContent = 'The sound cannot be played.'; };
  sound.src = `${files}/audio/audio.ogg`;
  sound.hidden = false;
  const captions = await fetch(`${files}/captions.json`);
  if (!captions.ok) state.textContent = 'The captions are missing.';
})();
