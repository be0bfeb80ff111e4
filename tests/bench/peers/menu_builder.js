// ussd-menu-builder on express as its README has it: sessions in memory, one menu for all. node menu_builder.js PORT
const express = require('express');
const UssdMenu = require('ussd-menu-builder');

const menu = new UssdMenu();
const sessions = {};

menu.sessionConfig({
  start: (id, done) => { if (!(id in sessions)) sessions[id] = {}; done(); },
  end: (id, done) => { delete sessions[id]; done(); },
  set: (id, key, value, done) => { sessions[id][key] = value; done(); },
  get: (id, key, done) => done(null, sessions[id][key]),
});

const home = 'Bijli Seva\n1 Naya connection\n2 Naam transfer\n3 Meter kharab\n4 Bijli katwana\n5 Transformer\n6 Bill';
menu.startState({ run: () => menu.con(home), next: { '*\\d+': 'account' } });
const ask = (name, text, next) => menu.state(name, {
  run: () => menu.session.set(name, menu.val, () => menu.con(text)),
  next: { '*.+': next },
});
ask('account', 'Kaun sa connection?\n1 Ghar\n2 Dukan', 'kind');
ask('kind', 'Kya kharabi hai?\n1 Band hai\n2 Jal gaya\n3 Display nahi', 'reading');
ask('reading', 'Reading likhiye', 'done');
menu.state('done', { run: () => menu.end('Aapki shikayat darj ho gayi.') });

const app = express();
app.use(express.urlencoded({ extended: false }));
app.post('/ussd', (request, response) => menu.run(request.body, (page) => response.type('text').send(page)));
app.listen(Number(process.argv[2]), '127.0.0.1');
