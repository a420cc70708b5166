// Uses an inbox through clients that were written for MailHog, and tells in JSON what they saw.
// node walk.js messages|websocket|eventsource URL [ARGUMENT]

import { EventSource } from "eventsource";
import mailhog from "mailhog";
import WebSocket from "ws";

const [what, address, argument] = process.argv.slice(2);
const url = new URL(address);

function tell(value) {
  console.log(JSON.stringify(value));
}

const told = (mail) => ({
  id: mail.ID,
  subject: mail.subject,
  from: mail.from,
  to: mail.to,
  text: mail.text,
  html: mail.html,
  attachments: mail.attachments.map(({ name, type, encoding }) => ({ name, type, encoding })),
});

async function messages() {
  const api = mailhog({ host: url.hostname, port: Number(url.port) });
  const all = await api.messages(1, 2);
  const newest = await api.latestTo("rcpt@to.example");
  const saw = {
    page: [all.total, all.count, all.start],
    mails: all.items.map(told),
    newest: told(newest),
    latestFrom: (await api.latestFrom("sender@from.example")).ID,
    latestContaining: (await api.latestContaining("needle-alt")).subject,
    nothing: await api.latestContaining("no such words"),
    search: (await api.search("from.example", "from", 0, 1)).total,
  };
  const relay = { host: "127.0.0.1", port: argument, email: "released@to.example" };
  saw.released = (await api.releaseMessage(newest.ID, relay)).statusCode;
  saw.deleted = (await api.deleteMessage(newest.ID)).statusCode;
  saw.deletedTwice = (await api.deleteMessage(newest.ID)).statusCode;
  saw.left = (await api.messages()).total;
  saw.deletedAll = (await api.deleteAll()).statusCode;
  saw.empty = (await api.messages()).total;
  tell(saw);
}

// The first `argument` mails that arrive after the word "open".
function collect(onText, close) {
  const mails = [];
  onText((text) => {
    mails.push(JSON.parse(text).ID);
    if (mails.length === Number(argument)) {
      tell(mails);
      close();
    }
  });
}

function websocket() {
  const socket = new WebSocket(`ws://${url.host}/api/v2/websocket`, { origin: "http://elsewhere.example" });
  socket.on("open", () => console.log("open"));
  collect(
    (take) => socket.on("message", (content, isBinary) => take(isBinary ? "" : content.toString())),
    () => socket.close(),
  );
}

function eventsource() {
  const source = new EventSource(`${url.origin}/api/v1/events`);
  source.onopen = () => console.log("open");
  collect(
    (take) => (source.onmessage = (event) => take(event.data)),
    () => source.close(),
  );
}

await { messages, websocket, eventsource }[what]();
