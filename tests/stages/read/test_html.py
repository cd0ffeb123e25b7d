from __future__ import annotations

import pytest

from hornbook.stages.read.stack_exchange import to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p>One\n  two</p><p>three</p>", "One two\n\nthree\n"),
        ("a &lt; b &amp; <code>c  d</code>", "a < b & `c d`\n"),
        ("<pre><code>if a &lt; b:\n    c\n\n\td\n</code></pre>", "```\nif a < b:\n    c\n\n\td\n```\n"),
        ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````\n"),
        ("<ul><li>one</li><li><p>two</p></li></ul>", "- one\n- two\n"),
        ("<h2>Title</h2>text<br>more<hr>", "## Title\n\ntext\nmore\n"),
        ("<script>alert(1)</script><p>kept</p><img src='x'>", "kept\n"),
        ("<p>never closed <pre><code>x = 1", "never closed\n\n```\nx = 1\n```\n"),
        ("</p></pre></ul>stray < ends & <", "stray < ends & <\n"),
    ],
)
def test_prose_is_joined_and_code_is_kept_as_it_is(html: str, text: str) -> None:
    assert to_text(html) == text
