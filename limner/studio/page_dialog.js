// One picture, large, over the page. The value is the dialog's inside; empty, it is closed.
const sheet = () => element.querySelector('dialog');

function show() {
  const dialog = sheet();
  if (!props.value) {
    if (dialog.open) dialog.close();
    dialog.innerHTML = '';
    return;
  }
  dialog.innerHTML = props.value;
  if (!dialog.open) dialog.showModal();
}

function close() {
  if (sheet().open) sheet().close();
  sheet().innerHTML = '';
  props.value = '';
}

element.addEventListener('click', (event) => {
  if (event.target === sheet()) return close(); // beside it
  const holder = event.target.closest('[data-do], [data-go]');
  if (!holder || holder.tagName === 'FORM') return;
  event.preventDefault();
  if (holder.dataset.sure && holder.dataset.asked === undefined) {
    holder.dataset.asked = '';
    holder.querySelector('span').textContent = holder.dataset.sure;
    return;
  }
  const data = { ...holder.dataset };
  if (data.do === 'close') return close();
  if (data.do === 'favourite') { // here and not by a new dialog, which would take what is typed
    holder.classList.toggle('is-on', !!data.on);
    holder.dataset.on = data.on ? '' : '1';
  }
  if (data.go || data.do === 'like' || data.do === 'delete') close();
  if (data.go) window.limner.go(data.go);
  trigger('act', data);
});

element.addEventListener('submit', (event) => {
  event.preventDefault();
  trigger('act', { ...event.target.dataset, ...Object.fromEntries(new FormData(event.target)) });
});

element.addEventListener('cancel', (event) => { event.preventDefault(); close(); }, true);
watch('value', show);
