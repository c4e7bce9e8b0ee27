// The page's own: rooms by their names in the address, keys, and pictures that are brought in.
() => {
  const limner = (window.limner = {});

  // Shows a room; the address keeps it over a reload.
  limner.go = (room) => {
    const tab = document.getElementById(`${room}-button`);
    if (!tab) return;
    tab.click();
    if (location.hash !== `#${room}`) history.replaceState(null, '', `#${room}`);
    for (const link of document.querySelectorAll('#rail [data-go]')) {
      const here = link.dataset.go === room;
      link.toggleAttribute('aria-current', here);
      if (here) link.setAttribute('aria-current', 'page');
      if (here) link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    window.scrollTo(0, 0);
  };

  // Puts files into the gallery and gives their ids. Throws an Error with a line for people.
  limner.bring = async (files) => {
    const ids = [];
    for (const file of files) {
      const form = new FormData();
      form.append('picture', file);
      let reply, said;
      try {
        reply = await fetch('/api/pictures', { method: 'POST', body: form });
        said = await reply.json();
      } catch {
        throw new Error('the studio does not answer: is it still running?');
      }
      if (!reply.ok) throw new Error(said?.error?.message ?? 'this file could not be read');
      ids.push(said.id);
    }
    return ids;
  };

  // Ctrl+Enter, or Cmd+Enter, does what the room's main button does.
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    const go = [...document.querySelectorAll('button.go')].find((each) => each.offsetParent);
    if (!go || go.disabled || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.stopPropagation();
    go.focus(); // what is being typed is taken over when its field is left
    setTimeout(() => go.click(), 60);
  }, true);

  // On a phone the stage is below the button that fills it.
  document.addEventListener('click', (event) => {
    if (!event.target.closest('button.go') || innerWidth > 760) return;
    const stage = [...document.querySelectorAll('.stage')].find((each) => each.offsetParent);
    setTimeout(() => stage?.scrollIntoView({ behavior: 'smooth', block: 'center' }), 400);
  });

  const open = () => limner.go(location.hash.slice(1) || 'paint');
  window.addEventListener('hashchange', open);
  const waiting = setInterval(() => {
    if (!document.getElementById('paint-button') || !document.querySelector('#rail [data-go]')) return;
    clearInterval(waiting);
    open();
  }, 50);
}
