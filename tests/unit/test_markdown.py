"""Text of others in our Markdown: shown as it was, and never a mention, a link, a tag or an order to a forge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.markdown import LONGEST_SENTENCE, block, code, one_line, row, sentence, shortened
from tests.unit.markdown_pages import HOSTILE, REFERENCES, Page, assert_harmless

anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
# Letters that mean something, in any order.
marks = st.text(alphabet="`|\\<>@#!&~*_[]()-+=:/.,'\" a1\n\t$%^{}", max_size=40)
CALLING = [
    "@octocat",
    "(@octocat), and @org/team.",
    "#12 and owner/name#12, GH-12, ABC-7, !3, ~label, %1, $2, &4, ^alert#5",
    "https://e.example/x?y=z www.e.example mailto:a@e.example irc://x",
    "dmarc@example.com",
    "deadbeefcafe 9618533d6e66b6826b06d1bb7867f0651bd8c0de check-8ebbe3b392 x/8ebbe3b392.y ab-12.c",
    ":smile: [[wiki]] [[_TOC_]] [x](http://e.example) ![i](http://e.example) <http://e.example>",
    "<img src=x onerror=alert(1)> <!-- x --> &lt;b&gt; &#64;octocat",
    "/close",
    "- [x] done",
    "[x] done [ ] x",
    "[ref]: http://e.example [ref] [a](b) [[a]] [a][ref] [!NOTE] [^1] (see [1], [feature_flag:1])",
    "> quoted",
    "# title",
    "1. one",
    "*a* _b_ ~~c~~ **d** a_b_c \\@octocat",
    "`@octocat",
    "`` @octocat ` @octocat `",
    "look at `queue` @octocat `x`@octocat",
    HOSTILE,
]


@pytest.mark.parametrize("text", CALLING)
def test_a_sentence_says_what_it_was_given_and_calls_nobody(text: str) -> None:
    for written in (sentence(text), f"- {sentence(text)}", f"## {sentence(text)}", row([sentence(text), "x"])):
        page = Page(written)
        assert REFERENCES.search(page.outside) is None, page.outside
        assert page.tags <= {"p", "code", "ul", "li", "h2"}
    assert seen(Page(sentence(text))) == same(text)


@pytest.mark.parametrize("text", CALLING)
def test_code_says_exactly_what_it_was_given_and_calls_nobody(text: str) -> None:
    page = Page(code(text))
    assert page.within == text
    assert page.outside.strip() == ""


def seen(page: Page) -> str:
    return "".join(page.text.split()).replace("`", "")


def same(text: str) -> str:
    return "".join(one_line(text).split()).replace("`", "")  # backticks say what is code


def test_words_stay_words_and_only_what_could_be_more_is_code() -> None:
    told = (
        "TLS to the upstream: secure becomes encrypt; mail (48 hours) isn't lost, 50% of 10.0.0.0/8, see RFC 7505 §2.6"
    )
    assert sentence(told) == told
    assert sentence("mail to a@example.com goes to mx.example.com, see `postqueue -p`.") == (
        "mail to `a@example.com` goes to mx.example.com, see `postqueue -p`."
    )
    assert sentence("(relay.queue_lifetime_hours): x") == "(`relay.queue_lifetime_hours`): x"
    assert sentence("none. [dmarc-no-reports; RFC 7489 §6.3]") == "none. [dmarc-no-reports; RFC 7489 §6.3]"


@given(st.one_of(anything, marks))
def test_any_text_is_one_paragraph_of_words_and_code(text: str) -> None:
    page = Page(f"x {sentence(text)}")
    assert page.tags <= {"p", "code"}
    assert "@" not in page.outside
    assert seen(page) == f"x{same(text)}"


@given(st.one_of(anything, marks), st.one_of(anything, marks))
def test_no_text_adds_a_cell_or_a_row_to_a_table(one: str, other: str) -> None:
    page = Page("\n".join([row(["a", "b"]), "|---|---|", row([sentence(one), code(other)])]))
    assert page.cells == [2, 2]
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


@given(st.one_of(anything, marks))
def test_no_text_ends_the_block_that_it_stands_in(text: str) -> None:
    page = Page(f"{block(text)}\n")
    assert page.tags == {"pre", "code"}
    assert page.outside.strip() == ""


def test_no_line_of_a_block_is_an_order_to_gitlab() -> None:
    # GitLab's extractor.rb takes the first line of three backticks for the end of a longer fence.
    lines = block("a\n```\n/close\n/merge").splitlines()
    assert [line for line in lines if line.startswith("/")] == []
    assert " /close" in lines


def test_letters_that_are_not_seen_or_turn_the_writing_are_shown_as_such() -> None:
    for text in ("a\u202eb", "a\u200fb", "a\u200bb", "a\x1b[2Jb", "a\x00b"):
        for written in (code(text), sentence(text), block(text)):
            assert "\N{REPLACEMENT CHARACTER}" in written
            assert not any(letter in written for letter in "\u202e\u200f\u200b\x1b\x00")


def test_a_line_end_of_windows_is_one() -> None:
    assert code("a\r\nb") == "`a b`"
    assert block("a\r\nb").splitlines()[1:3] == ["a", "b"]


def test_keys_and_ciphertexts_are_no_text_to_show() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----"
    sealed = "v1:CUpAyQuVk7iKe2sZ:V+ujAwHbYrC6cqYbpE6IPtGwwZNmHO"
    for written in (code(f"{key} {sealed}"), sentence(f"{key} {sealed}"), block(f"{key}\n{sealed}")):
        assert "MIIE" not in written
        assert "V+ujAw" not in written
        assert written.count("[secret]") == 2


def test_what_is_very_long_is_cut_with_a_sign_of_it() -> None:
    assert len(sentence("word " * 9_000)) < LONGEST_SENTENCE + 10
    assert sentence("word " * 9_000).endswith("…")
    assert len(shortened("x" * 9_000)) < 200
    assert " … " in shortened("x" * 9_000)


def test_what_says_nothing_is_nothing() -> None:
    assert (code(" \n "), sentence(" \n "), sentence("``")) == ("", "", "``` `` ```")


def test_hostile_text_is_seen_by_the_look_for_it() -> None:
    for text in CALLING[:5]:
        with pytest.raises(AssertionError):
            assert_harmless(text)
