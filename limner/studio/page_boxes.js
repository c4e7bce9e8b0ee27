// Boxes with words, drawn on a sheet. The value is what the field of the form takes:
// "a cat: 0.1,0.2,0.5,0.9; a rocket: 0.6,0.1,0.9,0.6".
const sheet = element.querySelector('.sheet-of-boxes');
const hint = element.querySelector('.boxes-hint');
let boxes = [], written = null, heard = null, moving = null;

const clamp = (x, low = 0, high = 1) => Math.min(high, Math.max(low, x));
const short = (x) => String(Math.round(x * 100) / 100);

function parsed(text) {
  return (text || '').split(';').map((part) => {
    const colon = part.lastIndexOf(':');
    const numbers = part.slice(colon + 1).split(',').map(Number);
    const fits = colon >= 0 && numbers.length === 4 && numbers.every((x) => x >= 0 && x <= 1);
    return fits && { words: part.slice(0, colon).trim(), at: numbers };
  }).filter(Boolean);
}

function tell() {
  written = boxes.map(({ words, at }) => `${words || 'a thing'}: ${at.map(short).join(',')}`).join('; ');
  props.value = written;
  trigger('drawn');
  setTimeout(() => { heard = null; }, 2000); // by then nothing is late any more
}

function put(box, node) {
  const [x0, y0, x1, y1] = box.at;
  Object.assign(node.style, {
    left: `${x0 * 100}%`, top: `${y0 * 100}%`, width: `${(x1 - x0) * 100}%`, height: `${(y1 - y0) * 100}%`,
  });
}

function node(box, number) {
  const frame = document.createElement('div');
  frame.className = 'box';
  frame.tabIndex = 0;
  frame.setAttribute('role', 'group');
  frame.setAttribute('aria-label', `Box ${number + 1}: arrows move it, with Shift they size it, Delete removes it`);
  const words = document.createElement('input');
  words.value = box.words;
  words.placeholder = 'what is here';
  words.setAttribute('aria-label', `Words of box ${number + 1}`);
  words.addEventListener('input', () => { box.words = words.value.replace(/[;]/g, ''); tell(); });
  const away = document.createElement('button');
  away.type = 'button';
  away.className = 'box-away';
  away.setAttribute('aria-label', `Remove box ${number + 1}`);
  away.textContent = '×';
  away.addEventListener('click', () => { boxes.splice(boxes.indexOf(box), 1); draw(); tell(); });
  const corner = document.createElement('i');
  corner.className = 'box-corner';
  frame.append(words, away, corner);
  frame.addEventListener('pointerdown', (event) => {
    if (event.target === words || event.target === away) return;
    event.preventDefault();
    event.stopPropagation();
    frame.focus();
    begin(event, box, frame, event.target === corner ? 'size' : 'move');
  });
  frame.addEventListener('keydown', (event) => keyed(event, box, frame));
  put(box, frame);
  return frame;
}

function draw() {
  sheet.replaceChildren(...boxes.map(node));
  hint.hidden = boxes.length > 0;
}

function keyed(event, box, frame) {
  if (event.target !== frame) return;
  if (event.key === 'Delete' || event.key === 'Backspace') {
    boxes.splice(boxes.indexOf(box), 1);
    draw();
    tell();
    return event.preventDefault();
  }
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!way) return;
  event.preventDefault();
  shift(box, box.at, way[0] * 0.02, way[1] * 0.02, event.shiftKey ? 'size' : 'move');
  put(box, frame);
  tell();
}

// `from` moved or sized by a share of the sheet, kept within it.
function shift(box, from, dx, dy, how) {
  const [x0, y0, x1, y1] = from;
  if (how === 'size') {
    box.at = [x0, y0, clamp(x1 + dx, x0 + 0.05), clamp(y1 + dy, y0 + 0.05)];
    return;
  }
  const x = clamp(x0 + dx, 0, 1 - (x1 - x0)), y = clamp(y0 + dy, 0, 1 - (y1 - y0));
  box.at = [x, y, x + (x1 - x0), y + (y1 - y0)];
}

function place(event) {
  const { left, top, width, height } = sheet.getBoundingClientRect();
  return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
}

function begin(event, box, frame, how) {
  const start = place(event), from = [...box.at];
  moving = (next) => {
    const [x, y] = place(next);
    if (how === 'new') {
      box.at = [Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)];
    } else {
      shift(box, from, x - start[0], y - start[1], how);
    }
    put(box, frame);
  };
  sheet.setPointerCapture(event.pointerId);
}

sheet.addEventListener('pointerdown', (event) => {
  if (event.button || event.target !== sheet) return;
  event.preventDefault();
  const [x, y] = place(event);
  const box = { words: '', at: [x, y, x, y] };
  boxes.push(box);
  const frame = node(box, boxes.length - 1);
  sheet.append(frame);
  hint.hidden = true;
  begin(event, box, frame, 'new');
});
sheet.addEventListener('pointermove', (event) => moving?.(event));
for (const end of ['pointerup', 'pointercancel']) {
  sheet.addEventListener(end, () => {
    if (!moving) return;
    moving = null;
    const small = ({ at }) => at[2] - at[0] < 0.04 || at[3] - at[1] < 0.04;
    const fresh = boxes.at(-1) && !boxes.at(-1).words;
    boxes = boxes.filter((box) => !small(box));
    draw();
    if (fresh && boxes.length) sheet.lastElementChild.querySelector('input').focus();
    tell();
  });
}

watch('value', () => {
  // What was drawn comes back from the field, and late: only what was typed since then counts.
  if (props.value === written || props.value === heard) return;
  heard = props.value;
  boxes = parsed(props.value);
  written = props.value;
  draw();
});
boxes = parsed(props.value);
draw();
