"""Checks that pages, messages, help, templates and comments are written in plain English.

Reads every text of the repository that a person reads. Prints `file:line: "phrase": write ... instead` for each phrase that
breaks a rule, and exits 1 if there is any. With --self-test it checks its own rules, so that no rule can silently stop firing.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from texts import makefile, markdown, python, rust, template, texts_of

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", ".aws-sam", "target", "corpus", "artifacts"}
LONGEST_SENTENCE = 25

IMAGES = r"(?:images?|artifacts?|index(?:es)?|child(?:ren)?|signatures?|SBOMs?|repositor(?:y|ies)|referrers?|copies)"
PRONOUN = r"(?:it|they|that|which|all|others|rest|those|else|none|one)"
WORKLOAD = r"(?:workloads?|services?|tasks?|functions?|something|anything|who|what|that|which)"
CLAUSE_END = r"(?=[.,;:)]|$| (?:with|together|unless|while|whole|too|anyway|first|last|for ever)\b)"
MODAL = r"(?:may|can|could|would|will|must|shall|never|planned to|left to|due to|is to|are to)"
BE = r"(?:is|are|was|were)"
LISTENER = r"(?:you|users?|us|cargo|clap|\w+ apart|\S+ \S+ apart|the (?:user|SDK|compiler))"

# A regular expression, what to write instead, a phrase that breaks the rule, and one that does not.
RULES = (
    # 1. Name the actor.
    (rf"\b(?:{BE}|be|been|being)(?: that| it| this| not| also)? (?:told(?! apart)|asked|looked at|looked for|spoken of|said of)\b",
     "the actor and an active verb: ecr-cleanup reports, ECR returns, you pass", "a tag is asked", "she asked for it"),
    (rf"\b{BE}(?: that| it| this)? meant\b(?! (?:to|for|as|by))",
     "the command that does it", "is that meant, and does it run?", "a role that is meant to be narrow"),
    (rf"\b(?:tells?|told|telling)\b(?! {LISTENER})",
     "report, return, show, log or warn", "the log tells which", "a message that tells you the next step"),
    (r"\bnobody\b", "no one, or a noun for what is missing", "used by nobody", "no one is configured"),
    # 2. One AWS or OCI word per concept.
    (rf"\b{IMAGES} (?:goes|go|went)\b(?! (?:through|to|into|over|back|on|wrong))",
     "be deleted", "an image goes", "images go through a filter"),
    (rf"\b{IMAGES} (?:stay|stays|stayed)\b", "be kept", "what these images stay for", "the file stays open"),
    (rf"\b{PRONOUN} (?:goes|go|went){CLAUSE_END}", "be deleted", "and the rest goes.", "it goes to stderr"),
    (rf"\b{PRONOUN} stays?{CLAUSE_END}", "be kept", "Everything else stays.", "lists stay lists"),
    (r"\bwhat (?:goes|stays?|holds)\b", "the images deleted, or the images kept", "what goes first", "what it goes by"),
    (rf"\b{MODAL} (?:go|stay){CLAUSE_END}", "be deleted, or be kept", "more than this would go", "would go to the next page"),
    (r"\b(?:stay|stays|stayed),? (?:unless|while|whole)\b", "be kept", "Images stay, unless used", "stay within a limit"),
    (r"\btake(?:s|n)? (?:\S+ ){0,3}from under\b|\bfrom under an?\b",
     "expire or delete images in use", "takes it from under a task", "take it from there"),
    (r"\btak(?:e|es|ing) (?:the |any |all |its )?(?:images?\b|untagged|newest)|\b(?:takes?|taking) no place\b",
     "select, delete, or count toward", "--tags takes the newest images", "a call takes 3 minutes"),
    (rf"\b{WORKLOAD} (?:still )?holds? (?:it|them|none|(?:an |the )?{IMAGES})\b",
     "use, or keep", "something holds them", "a list that holds 5 names"),
    (rf"\b{IMAGES} (?:that )?(?:{BE} )?held\b|\b{BE} held (?:in every|by|against|for)\b|\bheld against\b",
     "in use, used by, kept, or checked against", "an image is held by a task", "the lock is held"),
    (r"\b(?:lower|lowest) (?:one )?holds\b", "the lower limit applies", "the lowest holds", "the promise holds"),
    (r"\b(?:what|that|which|it|nothing) (?:stands|stood) (?:in|at|on|twice|there|beside)\b|\b(?:as|where) it stands\b",
     "is, is written, or appears", "what stands in it", "it stands for a name"),
    (r"\b(?:speaks?|spoke|spoken|speaking) of\b", "mention, describe or select", "a rule that speaks of it", "speak to AWS"),
    (rf"\b{BE} about (?:an? |the |its )?(?:it|{IMAGES}|subjects?|something)\b|\babout an image\b|\b(?:they are|is) about[.,]",
     "attached to, or applies to", "a signature is about an image", "which is about 3 times"),
    (r"\bhangs? (?:together|on)\b",
     "related to, child of, or attached to", "what an image hangs together with", "a call that hangs"),
    (r"\b(?:index(?:es)?|manifests?|lists?) names?\b(?! (?:of|are|is|in)\b)|\bwhat (?:\w+ ){1,3}names\b",
     "list or reference", "what an index names", "the list of names"),
    (r"\bas it comes\b", "by default", "As it comes it only reports", "as it is"),
    # 3. Nouns, not free relatives.
    (r"\bwhat is (?:in use|used)\b", "images in use", "find what is in use", "the images in use"),
    (r"\bas far as\b", "if, when, or the noun", "as far as it counts", "as soon as"),
    (r"\bso many\b(?! \w+ that)", "N", "within so many days", "so many calls that one fails"),
    (r"\b(?:whoever|whatever)\b", "a noun with its condition", "whoever calls it", "whichever comes first"),
    (r"\bwhat (?:passes|does not|doesn't|is not|isn't|uses|can't|cannot|has no|has to|only|nothing|lies|came|comes|went|fails)\b"
     r"(?![^.]*\?)", "a noun with its condition", "what is not understood is an error", "what does it cost?"),
    (r"(?-i:(?:^|(?<=[.;:] ))What (?:is|are|was|were|does|do|has|have|may|must|could)\b)(?![^.]*\?)",
     "a noun with its condition", "What is gone was deleted.", "What is an index?"),
    # 6. Help as AWS writes it.
    (r"\bempty for (?:none|all|no|nobody|[\d`\w]+[.,;])", "Optional, or Default: X", "Empty for none.", "empty for a while"),
)
COMPILED = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead, _, _ in RULES]
# Three or more names before the last are a list, whose length does not count.
NAMES = re.compile(r"(?:[^\s,]+(?: [^\s,]+){0,2}, ){3,}")
BAD_SENTENCES = ("word " * 26 + ".", "one; two; three.")
GOOD_SENTENCES = (
    "word " * 25 + ". And another " + "word " * 20,
    "one; two. Three; four.",
    "Codes: 0 done; 1 failed; 2 unclear.",
    "A call to ECR, ECS, Lambda, STS, " + "word, " * 20 + "or S3 fails.",
)


def problems(text, measured):
    """Offset, phrase and advice for each rule that the text breaks. Sentence length counts in measured texts alone."""
    for pattern, instead in COMPILED:
        for found in pattern.finditer(text):
            yield found.start(), found[0], instead
    for sentence in re.finditer(r"[^.!?\s].*?(?:[.!?](?=[\s\")]|$)|$)", text) if measured else ():
        words = re.findall(r"(?<![\w{/.-])[A-Za-z0-9][\w'’/.-]*", NAMES.sub("", re.sub(r"\{[^}]*\}", "", sentence[0])))
        if len(words) > LONGEST_SENTENCE:
            yield sentence.start(), sentence[0][:60], f"sentences of at most {LONGEST_SENTENCE} words (this has {len(words)})"
        # Exit codes are a list.
        if len(re.findall(r";(?! \d)", sentence[0])) > 1:
            yield sentence.start(), sentence[0][:60], "one sentence for each clause"


def files(path):
    if path.is_file():
        yield path
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        # The rules' own examples break them.
        yield from (Path(folder, name) for name in names if Path(folder, name) != Path(__file__).resolve())


def self_test():
    for (pattern, _), (_, _, bad, good) in zip(COMPILED, RULES):
        assert pattern.search(bad), f"{pattern.pattern} must find {bad!r}"
        assert not list(problems(good, True)), f"{good!r} is good English: {list(problems(good, True))}"
    assert all(list(problems(bad, True)) and not list(problems(bad, False)) for bad in BAD_SENTENCES)
    assert not any(list(problems(good, True)) for good in GOOD_SENTENCES)
    for read, source in (
        (markdown, "good\n```\nas far as\n```\n- `so many`\n- it is so\n  many\n"),
        (lambda source: rust(source, True), 'let x = "in so many days"; // and\n/// `so many`\nlet y = \'"\'; // so many\n'),
        (template, "x:\n  Description: >-\n    Within so\n    many days.\n  Default: so many\n"),
        (makefile, "x: ## Do so many.\n\tcp so many\n"),
        (python, 'def x():\n    """Within so many days."""\n    return "so many"\n'),
    ):
        found = [text for text in read(source) if list(problems(text.text, text.measured))]
        assert len(found) == (2 if "let x" in source else 1), (source, [text.text for text in found])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--self-test", action="store_true", help="check the rules and readers instead of the repository")
    parser.add_argument("paths", nargs="*", help="files or folders to check; default: the repository")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    count = 0
    for path in sorted(file for path in arguments.paths or [ROOT] for file in files(Path(path).resolve())):
        for text in texts_of(path, ROOT):
            for offset, phrase, instead in problems(text.text, text.measured):
                count += 1
                print(f'{path.relative_to(ROOT)}:{text.line_of(offset)}: "{phrase.strip()}": write {instead} instead')
    if count:
        sys.exit(f"{count} phrases to rewrite: see the lines above.")


if __name__ == "__main__":
    main()
