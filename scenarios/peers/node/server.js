// A bridge from MQTT to WebSocket in the way of many articles: every message of
// the broker goes to every client that is connected.
const mqtt = require('mqtt');
const { WebSocketServer, WebSocket } = require('ws');

const BROKER = process.env.BROKER || 'mqtt://127.0.0.1:1883';
const TOPIC = process.env.TOPIC || 'sensors/#';
const PORT = Number(process.env.PORT || 8080);

const wss = new WebSocketServer({ host: '127.0.0.1', port: PORT });
wss.on('listening', () => console.log(`WebSocket server on port ${PORT}`));
wss.on('connection', (ws) => {
  ws.on('error', console.error);
});

const client = mqtt.connect(BROKER);
client.on('connect', () => {
  console.log(`connected to ${BROKER}`);
  client.subscribe(TOPIC);
});
client.on('error', console.error);
client.on('message', (topic, message) => {
  const frame = JSON.stringify({ topic, data: message.toString() });
  wss.clients.forEach((ws) => {
    if (ws.readyState === WebSocket.OPEN) ws.send(frame);
  });
});
