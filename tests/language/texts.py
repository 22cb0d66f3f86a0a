"""Reads the texts of a file that a person reads: pages, comments, help, messages, template texts and terminal output."""

import io
import re
import tokenize
from pathlib import Path


class Text:
    """Words that belong together, with the line of each piece."""

    def __init__(self, measured):
        self.measured, self.text, self.lines = measured, "", []

    def add(self, line, piece):
        piece = re.sub(r"`+[^`]*`+", "``", piece.strip())
        self.lines.append((len(self.text), line))
        self.text += piece + " "

    def line_of(self, offset):
        return max(line for start, line in self.lines if start <= offset)


def blocks(lines, measured):
    """Joins numbered lines to texts: an empty line, a list item, a table row or a heading begins a new one."""
    text = Text(measured)
    for number, line in lines:
        is_row = line.lstrip().startswith("|")
        if not line.strip() or is_row or re.match(r"\s*(?:[-*#]|\d+\.) ?", line):
            yield text
            text = Text(measured and not is_row)
        text.add(number, re.sub(r"\]\([^)]*\)", "]", line))
    yield text


def markdown(source):
    fenced, lines = False, []
    for number, line in enumerate(source.splitlines(), 1):
        fence = line.lstrip().startswith(("```", "~~~"))
        fenced ^= fence
        lines.append((number, "" if fenced or fence or line.startswith("    ") else line))
    yield from blocks(lines, True)


def comments(source, marker=r"#+"):
    """Comments that have their lines to themselves; consecutive ones are one text."""
    lines = [(number, re.match(rf"\s*{marker} ?(.*)", line)) for number, line in enumerate(source.splitlines(), 1)]
    yield from blocks([(number, found[1] if found else "") for number, found in lines], False)


RUST = re.compile(r"""b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|'(?:\\[^\n]{1,9}?|[^'\\\n])'|//[^\n]*""", re.DOTALL)


def rust(source, messages):
    lines, in_fence = {}, False
    for found in RUST.finditer(source):
        number, token = source.count("\n", 0, found.start()) + 1, found[0]
        if token.startswith("//"):
            line = re.sub(r"^//[/!]? ?", "", token)
            in_fence ^= line.startswith("```")
            lines[number] = "" if in_fence or line.startswith("```") else line
        elif messages and token[0] == '"':
            yield from sentences(token[1:-1], number)
    last = max(lines, default=0)
    yield from blocks([(number, lines.get(number, "")) for number in range(1, last + 1)], False)


def sentences(literal, number):
    """The lines of a string that are more than a name. A backslash at the end of a line continues it."""
    for line in re.split(r"(\\n|(?<!\\)\n)", literal):
        text = Text(True)
        text.add(number, re.sub(r"\\\n\s*", " ", line).replace('\\"', '"'))
        number += line.count("\n")
        if len(re.findall(r"[A-Za-z']{2,}", line)) > 2:
            yield text


def template(source):
    lines, deeper, key = source.splitlines(), None, r"(\s*(?:- )?)(?:Alarm)?Description: *(.*)"
    yield from comments(source)
    for number, line in enumerate(lines, 1):
        label = re.search(r"Label: \{ default: (.*?) \}", line)
        found = re.match(key, line)
        if found or label:
            deeper, text = len(found[1]) if found else 99, Text(True)
            text.add(number, label[1] if label else found[2].strip('">-'))
            for more, further in enumerate(lines[number:], number + 1):
                if len(further) - len(further.lstrip()) <= deeper:
                    break
                text.add(more, further)
            yield text


def makefile(source):
    yield from comments(source, r"#(?!#)")
    for number, line in enumerate(source.splitlines(), 1):
        for said in re.findall(r"^[\w-]+:.*?## (.*)", line) + re.findall(r'echo "((?:[^"\\]|\\.)*)"', line):
            text = Text(True)
            text.add(number, said)
            yield text


def python(source):
    """Comments, and docstrings: strings that are a whole statement."""
    yield from comments(source)
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and before in (tokenize.NEWLINE, tokenize.INDENT):
            yield from blocks(enumerate(token.string.strip('"').splitlines(), token.start[0]), False)
        before = token.type if token.type not in (tokenize.NL, tokenize.COMMENT, tokenize.DEDENT) else before


def snapshot(source):
    head = source.index("\n---\n", 4) + 5
    first = source.count("\n", 0, head) + 1
    return (block for line in enumerate(source[head:].splitlines(), first) for block in blocks([line], False))


READERS = {".md": markdown, ".py": python, ".snap": snapshot, ".toml": comments, ".sh": comments, ".yaml": template}


def texts_of(path, root):
    place = path.relative_to(root)
    read = READERS.get(path.suffix)
    if path.suffix == ".rs":
        # The strings of tests are data and assertions; those of `src` are messages.
        read = lambda source: rust(source, messages=place.parts[0] == "src")
    if path.name == "Makefile":
        read = makefile
    if place == Path(".ci/run"):
        read = comments
    return read(path.read_text(encoding="utf-8")) if read else ()
