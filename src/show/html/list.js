// The tools of the page: how numbers are written, how elements are made, and the lists.
const ROWS = 50;

// How numbers are written.
const grouped = new Intl.NumberFormat('en-US');
const count = (number) => grouped.format(number);
const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
const usd = (amount) => new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' }).format(amount);
const bytes = (size) => {
  if (size < 1024) return `${size} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  for (size /= 1024; size >= 1023.95 && unit < units.length - 1; unit += 1) size /= 1024;
  return `${size.toFixed(1)} ${units[unit]}`;
};
const upTo = (text, isExact) => (isExact ? text : `up to ${text}`);
const day = (time) => (time ? time.slice(0, 10) : 'unknown');
const shortDigests = (text) => text.replace(/(sha256:[0-9a-f]{12})[0-9a-f]{52}/g, '$1');

// How elements are made: attributes, listeners as functions, and children as nodes or texts.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}
const badge = (text, kind = '') => make('span', { class: `badge ${kind}` }, text);
const figure = (name, ...text) => make('span', { 'data-figure': name }, text);
const bound = (isExact) => (isExact ? null : make('span', { class: 'bound' }, 'up to '));

// A list to search, to sort and to read page by page. Only one page of it is in the document.
class List {
  constructor({ id, columns, rows, regions, search, detail, toggle, placeholder, sortBy, none }) {
    Object.assign(this, { id, columns, rows, search, detail, placeholder, none });
    this.sorting = { column: columns.findIndex((column) => column.title === sortBy), descending: true };
    this.page = 0;
    this.only = null;
    this.texts = new Map();
    this.field = make('input', { type: 'search', placeholder, 'aria-label': placeholder, input: () => this.restart() });
    this.place = make('select', { 'aria-label': 'Region', change: () => this.restart() },
      make('option', { value: '' }, 'all regions'), regions.map((region) => make('option', { value: region }, region)));
    this.toggle = !toggle ? null : { ...toggle, box: make('input', { type: 'checkbox', change: () => this.restart() }) };
    this.status = make('span', { class: 'count muted', role: 'status' });
    this.chosen = make('span');
    this.head = make('tr');
    this.body = make('tbody');
    this.pager = make('div', { class: 'pager' });
    this.element = make('div', {},
      make('div', { class: 'tools' }, this.field, regions.length > 1 ? this.place : null,
        this.toggle ? make('label', {}, this.toggle.box, this.toggle.title) : null, this.chosen, this.status),
      make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, this.head), this.body)), this.pager);
  }

  restart() {
    this.page = 0;
    this.draw();
  }

  // Shows one repository's rows alone.
  choose(repository) {
    this.only = repository;
    this.field.value = '';
    this.place.value = '';
    if (this.toggle) this.toggle.box.checked = false;
    this.restart();
  }

  text(row) {
    let text = this.texts.get(row);
    if (text === undefined) this.texts.set(row, text = this.search(row).toLowerCase());
    return text;
  }

  found() {
    const words = this.field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const region = this.place.value;
    const isFound = (row) => (!this.only || (row.repository ?? row) === this.only)
      && (!region || (row.repository ?? row).region === region)
      && (!this.toggle?.box.checked || this.toggle.takes(row))
      && words.every((word) => this.text(row).includes(word));
    const found = this.rows.filter(isFound);
    const { column, descending } = this.sorting;
    const value = this.columns[column].value;
    const sign = descending ? -1 : 1;
    const keyed = found.map((row) => [value(row), row]);
    // The order of the report decides between equals.
    keyed.sort(([a], [b]) => (a < b ? -sign : a > b ? sign : 0));
    return keyed.map(([, row]) => row);
  }

  draw(rowsOfPage = ROWS) {
    const found = this.found();
    const pages = Math.max(1, Math.ceil(found.length / rowsOfPage));
    this.page = Math.min(this.page, pages - 1);
    const first = this.page * rowsOfPage;
    this.head.replaceChildren(...this.columns.map((column, place) => this.heading(column, place)));
    this.body.replaceChildren(...found.slice(first, first + rowsOfPage).map((row) => this.row(row)));
    if (!found.length) this.body.append(make('tr', {}, make('td', { colspan: this.columns.length, class: 'empty' }, this.rows.length ? 'Nothing matches.' : this.none)));
    const last = Math.min(found.length, first + rowsOfPage);
    this.status.textContent = found.length === this.rows.length ? `${count(found.length)} in all` : `${count(found.length)} of ${count(this.rows.length)}`;
    const turn = (title, page) => make('button', { type: 'button', class: 'plain', disabled: page < 0 || page >= pages, click: () => { this.page = page; this.draw(); } }, title);
    this.pager.replaceChildren(...(pages > 1 ? [make('span', { class: 'muted' }, `${count(first + 1)} to ${count(last)} of ${count(found.length)}`), turn('Previous', this.page - 1), turn('Next', this.page + 1)] : []));
    this.chosen.replaceChildren(...(this.only ? [make('button', { type: 'button', class: 'plain', click: () => this.choose(null) }, `${this.only.repositoryName} ✕`)] : []));
  }

  heading(column, place) {
    const { column: sorted, descending } = this.sorting;
    const sort = () => {
      // The largest numbers first, and names from the beginning of the alphabet.
      this.sorting = { column: place, descending: place === sorted ? !descending : Boolean(column.number) };
      this.restart();
      this.head.children[place].firstChild.focus();
    };
    return make('th', { scope: 'col', class: column.kind ?? '', 'aria-sort': place === sorted ? (descending ? 'descending' : 'ascending') : null },
      make('button', { type: 'button', click: sort }, column.title));
  }

  row(row) {
    const disclose = make('button', { type: 'button', class: 'disclose', 'aria-expanded': 'false' });
    const cells = this.columns.map((column) => make('td', { class: column.kind ?? '' }, column.cell(row, disclose)));
    const element = make('tr', { class: 'row' }, cells);
    disclose.addEventListener('click', () => {
      const isOpen = disclose.getAttribute('aria-expanded') === 'true';
      disclose.setAttribute('aria-expanded', String(!isOpen));
      if (isOpen) element.nextSibling.remove();
      else element.after(make('tr', { class: 'detail' }, make('td', { colspan: this.columns.length }, this.detail(row))));
    });
    return element;
  }
}
