// The second article: clients show a JWT in the address and say what they want
// to see; readings go out as objects, with the last value of each topic first.
const { createServer } = require('http');
const { readFileSync } = require('fs');
const jwt = require('jsonwebtoken');
const mqtt = require('mqtt');
const { WebSocketServer, WebSocket } = require('ws');

const BROKER = process.env.BROKER || 'mqtt://127.0.0.1:1883';
const TOPIC = process.env.TOPIC || 'sensors/#';
const PORT = Number(process.env.PORT || 8080);
const SECRET = readFileSync(process.env.SECRET_FILE || 'jwt.key', 'utf8').trim();

const server = createServer();
const wss = new WebSocketServer({ noServer: true });
const last = new Map();

function parse(message) {
  try {
    return JSON.parse(message.toString());
  } catch {
    return message.toString();
  }
}

// '+' and '#' of MQTT.
function matches(filter, topic) {
  const f = filter.split('/');
  const t = topic.split('/');
  for (let i = 0; i < f.length; i++) {
    if (f[i] === '#') return true;
    if (i >= t.length || (f[i] !== '+' && f[i] !== t[i])) return false;
  }
  return f.length === t.length;
}

server.on('upgrade', (req, socket, head) => {
  const token = new URL(req.url, 'http://localhost').searchParams.get('token');
  try {
    jwt.verify(token, SECRET);
  } catch (err) {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    return;
  }
  wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws, req));
});

wss.on('connection', (ws) => {
  ws.filters = [];
  ws.on('error', console.error);
  ws.on('message', (data) => {
    const command = parse(data);
    if (command && typeof command.subscribe === 'string') {
      ws.filters.push(command.subscribe);
      ws.send(JSON.stringify({ subscribed: command.subscribe }));
      const messages = [...last]
        .filter(([topic]) => matches(command.subscribe, topic))
        .map(([topic, data]) => ({ topic, data, retained: true }));
      if (messages.length > 0) ws.send(JSON.stringify({ messages }));
    }
  });
});

const client = mqtt.connect(BROKER);
client.on('connect', () => client.subscribe(TOPIC, { qos: 1 }));
client.on('error', console.error);
client.on('message', (topic, message) => {
  const data = parse(message);
  last.set(topic, data);
  const frame = JSON.stringify({ messages: [{ topic, data }] });
  wss.clients.forEach((ws) => {
    if (ws.readyState === WebSocket.OPEN && ws.filters.some((filter) => matches(filter, topic))) ws.send(frame);
  });
});

server.listen(PORT, '127.0.0.1', () => console.log(`server on port ${PORT}`));
