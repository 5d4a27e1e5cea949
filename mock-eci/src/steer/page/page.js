// The status page: reads the JSON routes and shows what they say. Whatever comes from the server may have been named by a
// stranger, so it only ever becomes text, never markup.

const PAGE = 20;
const CALLS = 30;
const EVERY = 2000;
const STATUSES = [
  'Scheduling', 'Pending', 'Running', 'Restarting', 'Updating', 'Terminating', 'Succeeded', 'Failed', 'Expired', 'ScheduleFailed',
];
const FINAL = new Set(['Succeeded', 'Failed', 'Expired', 'ScheduleFailed']);

const $ = (id) => document.getElementById(id);
const view = { offset: 0, status: '', text: '', open: null };

/** An element: h('div', {class: 'x', onclick: f}, 'text', child). */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The token may be given once as /mock/#token=…: what follows the # is not sent to servers.
const given = new URLSearchParams(location.hash.slice(1)).get('token');
if (given) {
  sessionStorage.setItem('mock-eci-token', given);
  history.replaceState(null, '', location.pathname);
}

async function ask(path, body, method) {
  const headers = {};
  const token = sessionStorage.getItem('mock-eci-token');
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(`/mock/${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'), headers, cache: 'no-store',
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await answer.json();
  if (!answer.ok) {
    if (answer.status === 403) $('token-form').hidden = false;
    throw new Error(json.error ?? `HTTP ${answer.status}`);
  }
  $('token-form').hidden = true;
  return json;
}

const two = (n) => String(n).padStart(2, '0');
const timeOf = (text) => {
  const t = new Date(text);
  return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`;
};
const dateOf = (text) => new Date(text).toISOString().slice(0, 10);

function duration(millis) {
  const s = Math.max(0, Math.round(millis / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86400)} d`;
}

function money(nano, currency) {
  const amount = nano / 1e9;
  return `${amount.toFixed(amount < 100 ? 4 : 2)} ${currency}`;
}

const count = (n) => n.toLocaleString('en');
const size = (cpu, memory) => `${+cpu.toFixed(3)} vCPU, ${+memory.toFixed(3)} GiB`;

// === figures ===

function figure(value, what, share) {
  const box = h('div', { class: 'figure' }, h('strong', {}, value), h('span', {}, what));
  if (share !== undefined) {
    const bar = h('i');
    bar.style.width = `${Math.min(100, share * 100)}%`;
    box.append(h('div', { class: 'meter' }, bar));
  }
  return box;
}

function showOverview(o) {
  $('about').textContent = `${o.version} · ${o.region} · ${o.runtime}`;
  document.title = `${count(o.groups)} groups · mock-eci`;
  $('now').textContent = `${dateOf(o.clock.now)} ${timeOf(o.clock.now)} UTC`;
  $('mode').textContent = o.clock.mode === 'stepped' ? 'stands still' : o.clock.speed === 1 ? 'running' : `running at ${o.clock.speed}×`;
  const toggle = $('toggle-clock');
  toggle.textContent = o.clock.mode === 'stepped' ? 'Run' : 'Stop';
  toggle.dataset.to = o.clock.mode === 'stepped' ? 'running' : 'stepped';

  const live = Object.entries(o.statuses).filter(([s]) => !FINAL.has(s)).reduce((sum, [, n]) => sum + n, 0);
  const notes = [];
  if (!o.rights.list) notes.push('lists are empty');
  if (o.rights.denied.length) notes.push(`${o.rights.denied.length} actions denied`);
  if (o.rights.arrears) notes.push('in arrears');
  const off = Object.entries(o.limits).filter(([, on]) => !on).map(([name]) => name);
  $('figures').replaceChildren(
    figure(count(live), live === o.groups ? 'groups' : `live of ${count(o.groups)} groups`),
    o.limits.vcpu
      ? figure(count(+o.usage['used-cpu'].toFixed(2)), `vCPU used of ${count(o.usage['max-cpu'])}`, o.usage['used-cpu'] / o.usage['max-cpu'])
      : figure(count(+o.usage['used-cpu'].toFixed(2)), 'vCPU used, no quota'),
    figure(money(o.cost['amount-nano'], o.cost.currency), `for ${count(o.cost.groups)} groups so far`),
    figure(count(o.calls), 'calls'),
    figure(count(o.faults), o.faults === 1 ? 'planned fault' : 'planned faults'),
    figure(notes.length ? 'limited' : 'normal', notes.join(', ') || (off.length ? `without limits: ${off.join(', ')}` : 'rights and limits')),
  );

  const chips = STATUSES.filter((s) => o.statuses[s] || s === view.status).map((s) => [s, s, o.statuses[s] ?? 0]);
  if (o.gone || view.status === 'gone') chips.push(['gone', 'gone', o.gone]);
  chips.unshift(['', 'all', o.groups + o.gone]);
  $('statuses').replaceChildren(...chips.map(([value, label, n]) => h('button', {
    type: 'button', class: 'chip', 'aria-pressed': String(view.status === value),
    onclick: () => { view.status = value; view.offset = 0; refresh(); },
  }, value && value !== 'gone' ? h('i', { class: `dot st-${label}` }) : null, `${label} ${count(n)}`)));
}

// === groups ===

/** The bar of one group within [from, to]. */
function track(group, from, to, now) {
  const bar = h('div', { class: 'track' });
  const span = Math.max(1, to - from);
  const end = group.RemovalTime ? Date.parse(group.RemovalTime) : now;
  group.States.forEach((state, i) => {
    const begins = Math.max(from, Date.parse(state.Since));
    const ends = Math.min(to, i + 1 < group.States.length ? Date.parse(group.States[i + 1].Since) : end);
    if (ends < begins) return;
    const piece = h('i', {
      class: `st-${STATUSES.includes(state.Status) ? state.Status : ''} ${FINAL.has(state.Status) ? 'over' : ''}`,
      title: `${state.Status} since ${timeOf(state.Since)}, ${duration(ends - begins)}`,
    });
    piece.style.left = `${((begins - from) / span) * 100}%`;
    piece.style.width = `${((ends - begins) / span) * 100}%`;
    bar.append(piece);
  });
  return bar;
}

function showGroups(answer) {
  const now = Date.parse(answer.now);
  const groups = answer.groups;
  const from = Math.min(now - 10000, ...groups.map((g) => Date.parse(g.CreationTime)));
  const ends = groups.map((g) => (g.RemovalTime ? Date.parse(g.RemovalTime) : now));
  const to = groups.length ? Math.max(from + 10000, ...ends) : now;
  $('axis').replaceChildren(...(groups.length ? [
    h('div', {}, h('span', {}, `${timeOf(from)} (${duration(now - from)} ago)`), h('span', {}, to >= now ? 'now' : timeOf(to))),
    h('span', { class: 'size' }, 'age'), h('span', { class: 'cost' }, 'cost'),
  ] : []));
  const rows = groups.map((g) => {
    const gone = Boolean(g.RemovalTime);
    const open = () => openGroup(g.ContainerGroupId);
    return h('div', {
      class: `row group${gone ? ' gone' : ''}`, tabindex: 0, role: 'button', onclick: open,
      onkeydown: (event) => { if (event.key === 'Enter') open(); },
    },
    h('div', { class: 'who' },
      h('div', { class: 'name ellipsis', title: g.ContainerGroupName }, g.ContainerGroupName),
      h('div', { class: 'muted mono ellipsis' }, g.ContainerGroupId)),
    h('div', { class: 'status' }, h('i', { class: `dot st-${STATUSES.includes(g.Status) ? g.Status : ''}` }), gone ? 'gone' : g.Status),
    track(g, from, to, now),
    h('div', { class: 'size number muted', title: size(g.Cpu, g.Memory) }, duration((gone ? Date.parse(g.RemovalTime) : now) - Date.parse(g.CreationTime))),
    h('div', { class: 'cost number', title: `${count(g.BilledSeconds)} s of ${size(g.Cpu, g.Memory)}` }, money(g.AmountNano, g.Currency)));
  });
  const nothing = view.text || view.status ? 'No group is like that.' : 'No groups yet. Create one with any SDK of ECI; the README shows how.';
  keepFocus($('groups'), () => $('groups').replaceChildren(...(rows.length ? rows : [h('p', { class: 'empty' }, nothing)])));
  $('range').textContent = answer.total ? `${count(view.offset + 1)}–${count(view.offset + groups.length)} of ${count(answer.total)}, the newest first` : '';
  $('newer').disabled = view.offset === 0;
  $('older').disabled = view.offset + groups.length >= answer.total;
}

/** Replaces children while the same row keeps the focus. */
function keepFocus(parent, replace) {
  const at = [...parent.children].indexOf(document.activeElement);
  replace();
  if (at >= 0) parent.children[at]?.focus({ preventScroll: true });
}

// === calls and faults ===

function showCalls(calls) {
  const rows = calls.reverse().map((c) => h('div', {
    class: 'row call', tabindex: 0, role: 'button', onclick: () => openCall(c),
    onkeydown: (event) => { if (event.key === 'Enter') openCall(c); },
  },
  h('span', { class: 'no muted number' }, count(c.Number)),
  h('span', { class: 'time muted mono' }, timeOf(c.Time)),
  h('span', { class: 'ellipsis' }, c.Action || '(none)'),
  h('span', { class: `number ${c.Status === 200 ? 'good' : 'wrong'}` }, c.Status === 0 ? 'lost' : String(c.Status)),
  h('span', { class: 'code ellipsis wrong' }, c.Code ?? ''),
  h('span', { class: 'millis number muted' }, `${count(c.Millis)} ms`)));
  keepFocus($('calls'), () => $('calls').replaceChildren(...(rows.length ? rows : [h('p', { class: 'empty' }, 'No calls yet.')])));
}

function showFaults(faults) {
  $('drop-faults').hidden = faults.length === 0;
  const rows = faults.slice(0, 50).map((f) => {
    const { id, met, times, action, kind, ...rest } = f;
    const about = Object.entries(rest).filter(([, v]) => v !== null && v !== '')
      .map(([k, v]) => `${k} ${typeof v === 'object' ? JSON.stringify(v) : v}`).join(', ');
    return h('div', { class: 'row fault' },
      h('span', { class: 'muted number' }, `#${id}`),
      h('span', {}, h('strong', {}, `${action ?? 'any action'}: ${kind}`), ` ${about} `,
        h('span', { class: 'muted' }, `· ${times === 'always' ? 'always' : `${count(times)} to come`}, met by ${count(met)}`)),
      h('button', { type: 'button', onclick: () => act(() => ask(`faults/${id}`, undefined, 'DELETE')) }, 'Drop'));
  });
  $('faults').replaceChildren(...(rows.length ? rows : [h('p', { class: 'empty' }, 'None. POST /mock/faults plans one.')]));
}

// === details ===

const pairs = (entries) => h('dl', {}, ...entries.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))]));

function openCall(c) {
  view.open = null;
  $('detail-title').textContent = `${c.Action || '(no action)'} #${c.Number}`;
  const parts = [pairs([
    ['Time', c.Time], ['Method', c.Method], ['RequestId', c.RequestId], ['Status', c.Status || 'never answered'],
    ...(c.Code ? [['Code', c.Code]] : []), ['Milliseconds', c.Millis],
  ])];
  if (c.Unknown?.length) parts.push(h('h3', {}, 'Parameters that ECI does not know'), h('p', {}, c.Unknown.join(', ')));
  parts.push(h('h3', {}, 'Parameters'), pairs(c.Parameters));
  $('detail-body').replaceChildren(...parts);
  $('detail').showModal();
}

async function openGroup(id) {
  view.open = id;
  $('detail-title').textContent = id;
  $('detail-body').replaceChildren(h('p', { class: 'muted' }, '…'));
  if (!$('detail').open) $('detail').showModal();
  try {
    const g = await ask(`groups/${encodeURIComponent(id)}`);
    if (view.open !== id) return;
    showGroup(g);
  } catch (error) {
    $('detail-body').replaceChildren(h('p', {}, error.message));
  }
}

function showGroup(g) {
  $('detail-title').textContent = g.ContainerGroupName;
  const parts = [
    pairs([
      ['Id', g.ContainerGroupId], ['Status', g.RemovalTime ? `gone since ${g.RemovalTime}` : g.Status],
      ...(g.Reason ? [['Reason', `${g.Reason}: ${g.Message}`]] : []),
      ['Size', size(g.Cpu, g.Memory)], ...(g.Ip ? [['Address', g.Ip]] : []), ['Created', g.CreationTime],
      ['Billed', `${count(g.BilledSeconds)} s, ${money(g.AmountNano, g.Currency)}`],
      ...Object.entries(g.Tags).map(([k, v]) => [`Tag ${k}`, v]),
    ]),
    h('h3', {}, 'Statuses'), pairs(g.States.map((s) => [s.Status, s.Since])),
  ];
  if (g.Containers) {
    parts.push(h('h3', {}, 'Containers'));
    for (const c of g.Containers) {
      const log = h('pre', { hidden: true });
      parts.push(pairs([[c.Name, `${c.Image} · ${c.State}${c.Ready ? ', ready' : ''}${c.RestartCount ? `, ${c.RestartCount} restarts` : ''}`]]),
        h('p', {}, h('button', { type: 'button', onclick: () => showLog(g.ContainerGroupId, c.Name, log) }, 'Log')), log);
    }
  }
  if (g.Events?.length) {
    parts.push(h('h3', {}, 'Events'), pairs(g.Events.map((e) => [`${timeOf(e.LastTimestamp)} ${e.Reason}`, `${e.Message}${e.Count > 1 ? ` (×${e.Count})` : ''}`])));
  }
  $('detail-body').replaceChildren(...parts);
}

async function showLog(id, container, into) {
  into.hidden = false;
  try {
    const lines = await ask(`groups/${encodeURIComponent(id)}/logs?container=${encodeURIComponent(container)}&tail=200`);
    into.textContent = lines.join('\n') || '(empty)';
  } catch (error) {
    into.textContent = error.message;
  }
}

// === the loop ===

let turn = 0;
let busy = false;
let again = false;

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  const mine = ++turn;
  try {
    const timeline = new URLSearchParams({ limit: PAGE, offset: view.offset });
    if (view.status) timeline.set('status', view.status);
    if (view.text) timeline.set('text', view.text);
    const errors = $('errors').checked ? '&errors=true' : '';
    const [overview, groups, calls, faults] = await Promise.all([
      ask('overview'), ask(`timeline?${timeline}`), ask(`journal?limit=${CALLS}${errors}`), ask('faults'),
    ]);
    if (mine === turn) {
      showOverview(overview);
      showGroups(groups);
      showCalls(calls);
      showFaults(faults);
    }
    $('trouble').hidden = true;
  } catch (error) {
    $('trouble').textContent = error instanceof TypeError ? 'The server does not answer.' : error.message;
    $('trouble').hidden = false;
  } finally {
    busy = false;
    if (again) { again = false; refresh(); }
  }
}

async function act(what) {
  try {
    await what();
  } catch (error) {
    $('trouble').textContent = error.message;
    $('trouble').hidden = false;
  }
  refresh();
}

for (const button of document.querySelectorAll('[data-advance]')) {
  button.addEventListener('click', () => act(() => ask('advance', { seconds: Number(button.dataset.advance) })));
}
$('toggle-clock').addEventListener('click', () => act(() => ask('clock', { mode: $('toggle-clock').dataset.to })));
$('drop-faults').addEventListener('click', () => act(() => ask('faults', undefined, 'DELETE')));
$('newer').addEventListener('click', () => { view.offset = Math.max(0, view.offset - PAGE); refresh(); });
$('older').addEventListener('click', () => { view.offset += PAGE; refresh(); });
$('errors').addEventListener('change', refresh);
let typing;
$('text').addEventListener('input', () => {
  clearTimeout(typing);
  typing = setTimeout(() => { view.text = $('text').value.trim(); view.offset = 0; refresh(); }, 250);
});
$('close').addEventListener('click', () => $('detail').close());
$('detail').addEventListener('close', () => { view.open = null; });
$('token-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem('mock-eci-token', $('token').value);
  $('token').value = '';
  refresh();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, EVERY);
refresh();
