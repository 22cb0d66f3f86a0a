// Draws the report that the page contains. Everything gets into the document as text, and only the rows that are shown.
const PRINTED_ROWS = 1000;

const report = JSON.parse(document.getElementById('report').textContent);
const byId = (id) => document.getElementById(id);
if (!report || !report.totals) {
  byId('headline').textContent = 'This page has no report.';
  throw new Error('no report');
}
const totals = report.totals;
const isLive = !report.dryRun;
const now = new Date(report.finishedAt);

const monthly = (size) => size / 2 ** 30 * report.pricePerGbMonth;
const age = (time) => (time ? counted(Math.max(0, Math.floor((now - new Date(time)) / 864e5)), 'day', 'days') : '');

// The rows of the lists.
const regions = report.regions.map((registry) => registry.region);
const accounts = [...new Set(report.regions.map((registry) => registry.registryId))];
const repositories = [];
const stale = [];
const inUse = [];
const unread = [];
const missing = [];
for (const { region, repositories: listed, missing: ofRegistry, error } of report.regions) {
  for (const image of ofRegistry ?? []) missing.push({ region, ...image });
  if (error) unread.push([region, error]);
  for (const told of listed) {
    if (told.error) {
      unread.push([`${region} ${told.repositoryName}`, told.error]);
      continue;
    }
    for (const image of told.missing ?? []) missing.push({ region, repositoryName: told.repositoryName, ...image });
    const exact = told.exactBytesStale !== undefined;
    const archived = told.bytes - told.bytesKept - told.bytesStale;
    const frees = isLive
      ? told.exactBytesDeleted ?? told.bytesDeleted ?? 0
      : told.exactBytesStale ?? told.bytesStale;
    const isExact = isLive ? told.exactBytesDeleted !== undefined || !told.bytesDeleted : exact || told.bytesStale === 0;
    const repository = { ...told, region, exact, archived: Math.max(0, archived), frees, isExact };
    repositories.push(repository);
    for (const image of told.stale) stale.push({ image, repository });
    const atRisk = new Map((told.atRisk ?? []).map((image) => [image.imageDigest, image]));
    for (const [images, only] of [[told.onlyInUse, true], [told.alsoInUse, false]]) {
      for (const image of images ?? []) inUse.push({ image, repository, only, risk: atRisk.get(image.imageDigest) });
    }
  }
}
// Not by spreading them as arguments: an account may have more repositories than a browser accepts arguments.
const largest = repositories.reduce((most, repository) => Math.max(most, repository.bytes), 1);

// A bar of the bytes in use, kept for other reasons, to be archived, stale and deleted.
const SEGMENTS = [
  ['used', 'in use', (it) => it.bytesInUse],
  ['kept', 'kept', (it) => it.bytesKept - it.bytesInUse],
  ['archive', totals.imagesArchived > 0 && totals.imagesArchived === totals.imagesToArchive ? 'archived' : 'to be archived', (it) => it.archived],
  ['stale-bytes', isLive ? 'stale, not deleted' : 'stale', (it) => it.bytesStale - (it.bytesDeleted ?? 0)],
  ['gone', 'deleted', (it) => it.bytesDeleted ?? 0],
];
function bar(it, whole, kind = '') {
  const parts = SEGMENTS.map(([name, title, size]) => [name, title, size(it)]).filter(([, , size]) => size > 0);
  const label = parts.map(([, title, size]) => `${bytes(size)} ${title}`).join(', ') || 'empty';
  const drawn = make('div', { class: `bar ${kind}`, role: 'img', 'aria-label': label, title: label });
  drawn.style.width = `${Math.max(0.5, 100 * it.bytes / whole)}%`;
  for (const [name, , size] of parts) {
    const segment = make('span', { class: name });
    segment.style.flexGrow = size;
    drawn.append(segment);
  }
  return drawn;
}

function drawSummary() {
  const exactSaving = totals.exactMonthlySavingUsd;
  const saving = upTo(usd(exactSaving ?? totals.monthlySavingUsd), exactSaving !== undefined);
  const capital = saving[0].toUpperCase() + saving.slice(1);
  const toArchive = totals.imagesToArchive ?? 0;
  const archivesAlone = totals.imagesStale > 0 && totals.imagesStale === toArchive;
  const deletedNothing = isLive && totals.imagesDeleted === 0 && !archivesAlone;
  const headline = totals.imagesStale === 0 ? 'No stale images'
    : archivesAlone ? (isLive ? `${count(totals.imagesArchived)} of ${counted(toArchive, 'image', 'images')} archived`
      : `${counted(toArchive, 'image', 'images')} to be archived`)
    : deletedNothing ? 'Nothing was deleted'
    : isLive ? `${capital} a month saved` : `${capital} a month can be saved`;
  byId('headline').replaceChildren(figure('saving', headline));
  byId('outcome').replaceChildren(
    badge(isLive ? 'live run' : 'dry run'),
    ' ', badge(report.outcome, ['planned', 'completed'].includes(report.outcome) ? '' : 'bad'));
  byId('about').textContent = [
    now.toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    `${accounts.length === 1 ? 'account' : 'accounts'} ${accounts.join(', ')}`,
    regions.length > 4 ? counted(regions.length, 'region', 'regions') : regions.join(', '),
    counted(totals.repositories, 'repository', 'repositories'),
  ].join(' · ');
  document.title = `ECR cleanup, ${day(report.finishedAt)}: ${headline}`;

  const whole = { ...totals, archived: totals.bytesToArchive ?? 0 };
  const legend = make('ul', { class: 'legend' });
  for (const [name, title, size] of SEGMENTS) {
    if (size(whole) > 0) legend.append(make('li', {}, make('i', { class: name }), `${title} `, make('span', { class: 'muted' }, bytes(size(whole)))));
  }
  const freed = isLive ? totals.exactBytesDeleted ?? totals.bytesDeleted : totals.exactBytesStale ?? totals.bytesStale;
  const isExact = (isLive ? totals.exactBytesDeleted : totals.exactBytesStale) !== undefined;
  const sum = isLive ? totals.bytesDeleted : totals.bytesStale;
  // Not from the totals: they don't count images that ECR refused to delete because a multi-arch image references them.
  const remain = stale.filter(({ image }) => !['deleted', 'archived', 'gone'].includes(image.result)).length;
  const tiles = [
    ['Stale images', figure('imagesStale', count(totals.imagesStale)), `of ${count(totals.images)}`, 'stale-figure'],
    isLive && !archivesAlone && ['Deleted', figure('imagesDeleted', count(totals.imagesDeleted)), remain ? `${count(remain)} remain` : 'nothing left'],
    isLive && toArchive > 0 && ['Archived', figure('imagesArchived', count(totals.imagesArchived)), `of ${count(toArchive)}`],
    [isLive ? 'Freed' : 'Deleting them frees', figure('bytesFreed', bound(isExact), bytes(freed)),
      isExact ? `the sum of sizes is ${bytes(sum)}` : 'images share layers'],
    ['Images in use', figure('imagesInUse', count(totals.imagesInUse)), `${counted(report.usage.references, 'reference', 'references')} found`],
    ['Kept', figure('imagesKept', count(totals.imagesKept)), `up to ${bytes(totals.bytesKept)}`],
    [isLive ? 'Cost before' : 'Cost', figure('monthlyCost', usd(totals.monthlyCostUsd)), `a month at most, for ${bytes(totals.bytes)}`],
  ].filter(Boolean);
  const figures = make('dl', { class: 'figures' }, tiles.map(([title, value, note, kind]) =>
    make('div', {}, make('dt', {}, title), make('dd', {}, make('span', { class: kind ?? '' }, value), make('div', { class: 'note' }, note)))));
  legend.append(make('li', { class: 'muted' }, 'by the sum of the images\' sizes'));
  byId('summary').append(bar(whole, totals.bytes || 1, 'total'), legend, figures);
}

function drawNotices() {
  const notices = byId('notices');
  const tell = (kind, text, items = []) => notices.append(make('div', { class: `notice ${kind}` }, text,
    items.length ? make('ul', {}, items.slice(0, 20).map((item) => make('li', {}, item)),
      items.length > 20 ? make('li', {}, `and ${count(items.length - 20)} more`) : null) : null));
  const ending = {
    refused: 'ecr-cleanup refused to delete anything more. The error of the run says why.',
    deadlineReached: 'The time ran out. The next run deletes the rest.',
    partial: 'Some repositories could not be read, or some images not deleted.',
  }[report.outcome];
  if (ending) tell('bad', ending);
  if (!report.usage.complete) tell('bad', "ecr-cleanup can't determine which images are in use, so a live run would delete nothing. See the warnings.");
  if (unread.length) {
    tell('bad', "Can't read:", unread.map(([what, { api, code, message }]) => `${what}: ${api}: ${code}: ${message}`));
  }
  if (totals.imagesAtRisk) {
    tell('bad', `ECR lifecycle policies would expire ${counted(totals.imagesAtRisk, 'image', 'images')} in use. The list of images in use marks them.`);
  }
  if (missing.length) {
    tell('bad', `${counted(missing.length, 'image', 'images')} in use can't be pulled. The next start fails:`,
      missing.map(({ region, repositoryName, imageTag, imageDigest, because, usedBy }) =>
        `${region} ${repositoryName}${imageTag ? `:${imageTag}` : `@${shortDigests(imageDigest)}`}: ${MISSING[because] ?? because}${usedBy ? `, used by ${usedBy}` : ''}`));
  }
  if (report.truncatedImages) tell('', `The report omits ${counted(report.truncatedImages, 'stale image', 'stale images')}. The totals include them.`);
}

const pairs = (entries, kind = '') => make('dl', { class: kind }, entries.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
const part = (title, content) => make('div', {}, make('h2', {}, title), content);
const number = (value) => make('span', { class: value === 0 ? 'zero' : '' }, count(value));

// The report's keys in words.
const MISSING = {
  notFound: "doesn't exist", repositoryNotFound: "the repository doesn't exist", archived: 'is archived',
  childNotFound: "doesn't exist, but is a child image of a kept image",
};
const REASONS = {
  inUse: 'in use', usedRecently: 'was in use recently', beforeInUse: 'pushed before an image in use', keepTags: 'tag matches keepTags', ignoreTagsRegex: 'tag matches ignoreTagsRegex', newest: 'among the newest',
  pulledRecently: 'pulled recently', pushedRecently: 'pushed recently', policy: 'no policy rule selects it', untagged: 'untagged, but not too old',
  parentOfInUse: 'parent of an image in use', childOfKept: 'child of a kept image', referrerOfKept: 'attached to a kept image', replicated: 'a copy elsewhere is kept', archived: 'archived',
  sharedElsewhere: 'other accounts can pull it', unreadable: "a reference or manifest can't be read", unknown: 'ECR returns too little',
};

function reasonsOfStale(repository) {
  const reasons = new Map();
  for (const { reason } of repository.stale) {
    const kind = reason.replace(/ sha256:[0-9a-f]{64}/, '');
    reasons.set(kind, (reasons.get(kind) ?? 0) + 1);
  }
  return [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([reason, images]) => [reason, count(images)]);
}

function detailOfRepository(repository) {
  const { keptBecause = {}, exactBytes, exactBytesStale, policy, unfetchedManifests } = repository;
  const sizes = [
    ['in use', upTo(bytes(repository.bytesInUse))], ['kept in total', upTo(bytes(repository.bytesKept))],
    ['stale, sum of sizes', bytes(repository.bytesStale)],
    exactBytesStale !== undefined && ['stale, exactly', bytes(exactBytesStale)],
    exactBytes !== undefined && ['all, exactly', bytes(exactBytes)],
  ].filter(Boolean);
  const other = [
    policy !== undefined && ['policy', policy === null ? 'none applies' : policy === 'ecr' ? "the repository's own" : `number ${policy}`],
    unfetchedManifests && ['manifests not read', `${count(unfetchedManifests.indexes)}: ${unfetchedManifests.error.code}`],
  ].filter(Boolean);
  const used = inUse.filter((row) => row.repository === repository).length;
  return [
    make('div', { class: 'parts' },
      repository.imagesStale ? part('Stale because', pairs(reasonsOfStale(repository))) : null,
      part('Kept because', pairs(Object.entries(keptBecause).map(([reason, images]) => [REASONS[reason] ?? reason, count(images)]))),
      part('Bytes', pairs(sizes)), other.length ? part('Also', pairs(other)) : null),
    make('div', { class: 'actions' },
      repository.stale.length ? make('button', { type: 'button', class: 'plain', click: () => open('stale', repository) }, `Show ${counted(repository.stale.length, 'stale image', 'stale images')}`) : null,
      used ? make('button', { type: 'button', class: 'plain', click: () => open('in-use', repository) }, `Show ${counted(used, 'image', 'images')} in use`) : null),
  ];
}

function nameOfImage({ image, repository }, disclose) {
  const [first, ...others] = image.imageTags;
  disclose.append(make('span', { class: first ? 'tag' : 'mono' }, first ?? shortDigests(image.imageDigest)));
  const also = others.length ? `and ${counted(others.length, 'other tag', 'other tags')}` : '';
  return [disclose, make('small', { class: 'under' }, first ? make('span', { class: 'mono' }, shortDigests(image.imageDigest)) : 'untagged', also ? ` ${also}` : ''),
    make('small', { class: 'under narrow' }, `${repository.repositoryName}, ${repository.region}`)];
}

const undoneBecause = ({ failureCode, failureReason, skippedBecause, notAttemptedBecause }) =>
  (failureCode ? `${failureCode}: ${failureReason}` : skippedBecause ?? notAttemptedBecause ?? '');
const resultOf = (image) => (image.result === 'planned' && image.action === 'archive' ? 'to be archived' : image.result.replace('notAttempted', 'not attempted').replace('notAllowed', 'not allowed'));

const repositoryCell = ({ repository }) => [repository.repositoryName, make('small', {}, repository.region)];
const pushedCell = ({ image }) => [day(image.imagePushedAt), make('small', {}, age(image.imagePushedAt))];
const holderOf = (image) => /^(.*?) (arn:\S+)$/.exec(image.heldBy);
function holderCell({ image, only, risk }) {
  const [, kind, arn] = holderOf(image) ?? [null, image.heldBy, ''];
  return [kind, arn ? make('small', {}, arn.split(':').slice(5).join(':')) : null,
    risk ? [badge('ECR policy would expire it', 'bad'), ' '] : null, only ? badge('kept only because in use', 'stale') : null].flat();
}

const lists = {
  repositories: new List({
    id: 'repositories', rows: repositories, regions, sortBy: isLive ? 'Freed' : 'Frees', placeholder: 'Find a repository', none: 'No repositories.',
    search: (it) => `${it.region} ${it.repositoryName}`, detail: detailOfRepository,
    toggle: { title: 'with stale images only', takes: (it) => it.imagesStale > 0 },
    columns: [
      { title: 'Repository', kind: 'name', value: (it) => `${it.repositoryName} ${it.region}`,
        cell: (it, disclose) => {
          disclose.append(it.repositoryName);
          return [disclose, make('div', { class: 'under' }, make('span', { class: 'sub' }, it.region), bar(it, largest))];
        } },
      { title: 'Images', kind: 'number spare', number: true, value: (it) => it.images, cell: (it) => number(it.images) },
      { title: 'In use', kind: 'number spare', number: true, value: (it) => it.imagesInUse, cell: (it) => number(it.imagesInUse) },
      { title: 'Kept', kind: 'number spare', number: true, value: (it) => it.imagesKept, cell: (it) => number(it.imagesKept) },
      { title: 'Stale', kind: 'number', number: true, value: (it) => it.imagesStale, cell: (it) => number(it.imagesStale) },
      { title: 'Size', kind: 'number spare', number: true, value: (it) => it.bytes, cell: (it) => bytes(it.bytes) },
      { title: isLive ? 'Freed' : 'Frees', kind: 'number', number: true, value: (it) => it.frees,
        cell: (it) => [it.frees ? upTo(bytes(it.frees), it.isExact) : number(0),
          it.frees ? make('small', {}, `${upTo(usd(monthly(it.frees)), it.isExact)} a month`) : null] },
    ],
  }),
  stale: new List({
    id: 'stale', rows: stale, regions, sortBy: 'Pushed', placeholder: 'Find by tag, digest, repository or reason', none: 'No stale images.',
    search: ({ image, repository }) => [repository.region, repository.repositoryName, image.imageDigest, ...image.imageTags, image.reason, resultOf(image), undoneBecause(image)].join(' '),
    detail: ({ image }) => pairs([
      ['Digest', make('span', { class: 'mono' }, image.imageDigest)], ['Tags', image.imageTags.join(', ') || 'none'],
      ['Why', image.reason], ['Result', [resultOf(image), undoneBecause(image) ? `: ${undoneBecause(image)}` : ''].join('')],
    ], 'stacked'),
    toggle: isLive && { title: 'not deleted only', takes: ({ image }) => !['deleted', 'archived'].includes(image.result) },
    columns: [
      { title: 'Image', kind: 'image', value: ({ image }) => image.imageTags[0] ?? image.imageDigest, cell: nameOfImage },
      { title: 'Repository', kind: 'spare', value: ({ repository }) => `${repository.repositoryName} ${repository.region}`, cell: repositoryCell },
      { title: 'Pushed', kind: 'day spare', number: true, value: ({ image }) => image.imagePushedAt ?? '', cell: pushedCell },
      { title: 'Size', kind: 'number spare', number: true, value: ({ image }) => image.imageSizeInBytes, cell: ({ image }) => bytes(image.imageSizeInBytes) },
      { title: 'Why', kind: 'why', value: ({ image }) => image.reason, cell: ({ image }) => shortDigests(image.reason) },
      isLive && { title: 'Result', value: ({ image }) => image.result, cell: ({ image }) => [resultOf(image), make('small', {}, undoneBecause(image))] },
    ].filter(Boolean),
  }),
  'in-use': new List({
    id: 'in-use', rows: inUse, regions, sortBy: 'Pushed', placeholder: 'Find by tag, digest, repository or workload', none: 'No image of these registries is in use.',
    search: ({ image, repository }) => [repository.region, repository.repositoryName, image.imageDigest, ...image.imageTags, image.heldBy].join(' '),
    detail: ({ image, only, risk }) => pairs([
      ['Digest', make('span', { class: 'mono' }, image.imageDigest)], ['Tags', image.imageTags.join(', ') || 'none'], ['Used by', image.heldBy],
      ['Without this use', only ? 'the image would be deleted' : 'the image would be kept for another reason'],
      risk && ['ECR lifecycle policy', `rule ${risk.rulePriority} would ${risk.action} it: ${risk.ruleDescription || 'without a description'}`],
    ].filter(Boolean), 'stacked'),
    toggle: { title: 'kept only because in use', takes: ({ only }) => only },
    columns: [
      { title: 'Image', kind: 'image', value: ({ image }) => image.imageTags[0] ?? image.imageDigest, cell: nameOfImage },
      { title: 'Repository', kind: 'spare', value: ({ repository }) => `${repository.repositoryName} ${repository.region}`, cell: repositoryCell },
      { title: 'Pushed', kind: 'day spare', number: true, value: ({ image }) => image.imagePushedAt ?? '', cell: pushedCell },
      { title: 'Used by', kind: 'why', value: ({ image }) => image.heldBy, cell: holderCell },
    ],
  }),
};
// The oldest come first.
lists.stale.sorting.descending = false;
lists['in-use'].sorting.descending = false;

const warnings = { draw() {}, element: report.warnings.length
  ? make('ul', { class: 'warnings' }, report.warnings.slice(0, PRINTED_ROWS).map(({ code, message }) => make('li', {}, `${message} `, badge(code))))
  : make('p', { class: 'empty' }, 'No warnings.') };

const TABS = [
  ['repositories', 'Repositories', lists.repositories, repositories.length], ['stale', 'Stale images', lists.stale, totals.imagesStale],
  ['in-use', 'In use', lists['in-use'], inUse.length], ['warnings', 'Warnings', warnings, report.warnings.length],
];
const tabs = TABS.map(([id, title, list, length], place) => {
  const tab = make('button', { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}`, click: () => open(id),
    keydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -place, End: TABS.length - 1 - place }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const next = TABS[(place + step + TABS.length) % TABS.length][0];
      open(next);
      byId(`tab-${next}`).focus();
    } }, title, make('small', {}, count(length)));
  const panel = make('div', { role: 'tabpanel', id: `panel-${id}`, 'aria-labelledby': `tab-${id}`, tabindex: '-1' }, list.element);
  return { id, list, tab, panel };
});

function open(id, repository = null) {
  for (const { id: other, list, tab, panel } of tabs) {
    const isOpen = other === id;
    tab.setAttribute('aria-selected', String(isOpen));
    tab.tabIndex = isOpen ? 0 : -1;
    panel.hidden = !isOpen;
    if (isOpen && repository) list.choose(repository);
    else if (isOpen) list.draw();
  }
  if (repository) byId(`tab-${id}`).focus();
  try {
    history.replaceState(null, '', `#${id}`);
  } catch {
    // Some viewers don't let a page change its address. It works without.
  }
}

// A setting's value, and its source. A null means never, all, or none, by its name.
const NULLS = { untaggedOlderThanDays: 'never', lambdaVersionsToKeep: 'all' };
function drawSettings() {
  const settings = Object.entries(report.settings);
  const shown = (name, value) => (value === null ? NULLS[name] ?? 'none'
    : Array.isArray(value) && value.every((item) => typeof item === 'string') ? value.join(', ') || 'none'
      : typeof value === 'string' ? value : JSON.stringify(value));
  const given = settings.filter(([, { from }]) => from !== 'default').length;
  byId('settings').append(
    make('summary', {}, `Settings: ${count(given)} given, the others by default`),
    make('dl', {}, settings.flatMap(([name, { value, from }]) => [make('dt', {}, name), make('dd', {}, `${shown(name, value)} `, from === 'default' ? null : badge(from))])));
}

drawSummary();
drawNotices();
drawSettings();
byId('tabs').append(...tabs.map(({ tab }) => tab));
byId('panels').append(...tabs.map(({ panel }) => panel));
const asked = location.hash.slice(1);
open(tabs.some(({ id }) => id === asked) ? asked : 'repositories');
const { checked, notChecked } = byId('footer').dataset;
byId('footer').textContent = `Checked for images in use: ${checked}, in ${counted(report.usage.regions.length, 'Region', 'Regions')} of ${counted(report.usage.accounts.length, 'account', 'accounts')}, and the setting inUseImages. `
  + `Not checked: ${notChecked}. `
  + 'Sizes are compressed bytes, as in ECR; GB and GiB are 2^30 bytes. Images of a repository share layers, which ECR stores and bills once. '
  + 'Sums of sizes are therefore upper bounds ("up to"), unless exactSizes counted each layer once.'
  + (report.memory ? ` The memory ${report.memory.location} has the images in use since ${report.memory.since ?? 'this run'}.` : '');
addEventListener('beforeprint', () => tabs.forEach(({ list, panel }) => { if (!panel.hidden) list.draw(PRINTED_ROWS); }));
addEventListener('afterprint', () => tabs.forEach(({ list, panel }) => { if (!panel.hidden) list.draw(); }));
