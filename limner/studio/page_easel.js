// A picture that is chosen from disk or from the gallery, and a brush over it that masks.
// The value: {"picture": id or "", "mask": PNG as a data address or ""}.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const canvas = part('canvas'), seen = part('picture'), strip = part('strip');
const ink = canvas.getContext('2d', { willReadFrequently: true });
let erasing = false, drawing = false, last = null, touched = false, strokes = [], loaded = '';

const held = () => (typeof props.value === 'object' && props.value) || { picture: '', mask: '' };
const hold = (more) => { props.value = { picture: '', mask: '', ...held(), ...more }; };
const width = () => +part('width').value;

function show() {
  const { picture } = held();
  if (picture === loaded) return;
  loaded = picture;
  strokes = [];
  touched = false;
  part('choose').hidden = !!picture;
  part('board').hidden = !picture;
  for (const each of strip.querySelectorAll('[data-id]')) {
    each.setAttribute('aria-pressed', each.dataset.id === picture);
  }
  if (picture) seen.src = `/api/pictures/${picture}/file`;
}

seen.addEventListener('load', () => {
  canvas.width = seen.naturalWidth;
  canvas.height = seen.naturalHeight;
  part('size').textContent = `${seen.naturalWidth} × ${seen.naturalHeight}`;
});

async function recent() {
  try {
    const reply = await fetch('/api/pictures?limit=24');
    const said = await reply.json();
    strip.replaceChildren(...said.pictures.map(({ id, prompt }) => {
      const one = document.createElement('button');
      one.type = 'button';
      one.dataset.id = id;
      one.title = prompt || 'A picture';
      one.setAttribute('aria-pressed', id === loaded);
      const image = document.createElement('img');
      image.src = `/api/pictures/${id}/thumbnail?side=128`;
      image.alt = prompt || 'A picture';
      one.append(image);
      return one;
    }));
    part('recent').hidden = !said.pictures.length;
  } catch { /* the studio is gone: whatever is done next says so */ }
}

function complain(line) {
  part('complaint').textContent = line;
  part('complaint').hidden = !line;
}

async function take(files) {
  complain('');
  try {
    const ids = await window.limner.bring([...files].slice(0, 1));
    if (ids.length) hold({ picture: ids[0], mask: '' });
    show();
    recent();
  } catch (problem) {
    complain(problem.message[0].toUpperCase() + problem.message.slice(1));
  }
}

element.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  take(event.target.files);
  event.target.value = '';
});
element.addEventListener('dragover', (event) => event.preventDefault());
element.addEventListener('drop', (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) take(event.dataTransfer.files);
});
strip.addEventListener('click', (event) => {
  const one = event.target.closest('[data-id]');
  if (!one) return;
  hold({ picture: one.dataset.id, mask: '' });
  show();
});

// ---- the brush ------------------------------------------------------------------------------

function place(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) / box.width * canvas.width,
    y: (event.clientY - box.top) / box.height * canvas.height,
    r: width() / 100 * canvas.width / 2,
  };
}

function line(from, to) {
  ink.globalCompositeOperation = erasing ? 'destination-out' : 'source-over';
  ink.strokeStyle = '#2f47b0'; // seen on most pictures; only where it is counts
  ink.lineCap = ink.lineJoin = 'round';
  ink.lineWidth = to.r * 2;
  ink.beginPath();
  ink.moveTo(from.x, from.y);
  ink.lineTo(to.x + 0.01, to.y);
  ink.stroke();
}

function keep() {
  strokes.push(ink.getImageData(0, 0, canvas.width, canvas.height));
  if (strokes.length > 20) strokes.shift();
}

// White where it is painted anew, black elsewhere, as large as the picture.
function masked() {
  const flat = document.createElement('canvas');
  flat.width = canvas.width;
  flat.height = canvas.height;
  const paint = flat.getContext('2d');
  const fill = (how, colour) => {
    paint.globalCompositeOperation = how;
    paint.fillStyle = colour;
    paint.fillRect(0, 0, flat.width, flat.height);
  };
  paint.drawImage(canvas, 0, 0);
  fill('source-in', '#fff');
  fill('destination-over', '#000');
  const some = paint.getImageData(0, 0, flat.width, flat.height).data.some((v, i) => i % 4 === 0 && v);
  hold({ mask: some ? flat.toDataURL('image/png') : '' });
}

canvas.addEventListener('pointerdown', (event) => {
  if (event.button || !element.closest('.is-masking')) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  keep();
  drawing = true;
  last = place(event);
  line(last, last);
});
canvas.addEventListener('pointermove', (event) => {
  if (!drawing) return;
  const next = place(event);
  line(last, next);
  last = next;
});
for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, () => {
    if (drawing) masked();
    drawing = false;
  });
}

const does = {
  brush() { erasing = false; pressed(); },
  eraser() { erasing = true; pressed(); },
  undo() {
    const before = strokes.pop();
    if (before) ink.putImageData(before, 0, 0);
    masked();
  },
  clear() {
    keep();
    ink.clearRect(0, 0, canvas.width, canvas.height);
    masked();
  },
  other() { hold({ picture: '', mask: '' }); show(); recent(); },
};

function pressed() {
  part('brush').setAttribute('aria-pressed', !erasing);
  part('eraser').setAttribute('aria-pressed', erasing);
}

for (const [name, does_it] of Object.entries(does)) part(name)?.addEventListener('click', does_it);

watch('value', show);
new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && recent()).observe(element);
show();
recent();
