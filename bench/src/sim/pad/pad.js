// Shared notes: what is typed goes to the server, and comes from there to everybody.
(() => {
  const text = document.getElementById('text');
  const path = location.pathname.replace(/\/p\/[^/]*$/, '/socket.io/');
  const socket = new WebSocket(`wss://${location.host}${path}${location.search}`);
  const state = (word) => { document.getElementById('state').textContent = word; };
  socket.onopen = () => state('ready');
  socket.onclose = () => state('closed');
  socket.onmessage = ({ data }) => {
    const { notes } = JSON.parse(data);
    if (notes !== undefined && notes !== text.value) text.value = notes;
  };
  text.oninput = () => socket.send(JSON.stringify({ notes: text.value }));
})();
