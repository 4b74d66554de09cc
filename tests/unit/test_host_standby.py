"""How a HAProxy would be started, from what systemd and an init script's defaults say."""

import pytest

from haproxy_apply import init_script, unit_syntax


@pytest.mark.fault("F218")
def test_the_command_of_a_unit() -> None:
    """As `systemctl show` prints it; of two commands nobody knows which is meant."""
    said = (
        "{ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG ; ignore_errors=no ; "
        "start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
    )
    command = ("/usr/sbin/haproxy", "/usr/sbin/haproxy -Ws -f $CONFIG")
    assert unit_syntax.command(said) == command
    for wrong in ("", f"{said} ; {said}", said.replace("argv[]", "words")):
        with pytest.raises(ValueError, match=r"^($|\{ path)"):
            unit_syntax.command(wrong)


@pytest.mark.fault("F218")
def test_the_environment_of_a_unit() -> None:
    """Each string is quoted as a whole; what older versions leave out or do not quote is not guessed."""
    said = r'A=b "OPTIONS=-f /a b" "C=\"\\\$" D='
    assert unit_syntax.environment(said) == {
        "A": "b",
        "OPTIONS": "-f /a b",
        "C": '"\\$',
        "D": "",
    }
    assert unit_syntax.environment("") == {}
    for wrong in ("A=b [unprintable]", "OPTIONS=-f /a", 'A="b'):
        with pytest.raises(ValueError, match=r"A=|OPTIONS="):
            unit_syntax.environment(wrong)


@pytest.mark.fault("F218")
@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("haproxy -f $CONFIG", ["haproxy", "-f", "/h.cfg"]),
        ("$MORE", ["-f", "/a b", "-q"]),
        ("${MORE}", ["-f '/a b' -q"]),
        ("-f${CONFIG}x$CONFIG", ["-f/h.cfgx$CONFIG"]),
        ("$NONE ${NONE} $$CONFIG", ["", "$CONFIG"]),
    ],
)
def test_variables_of_a_command_line(argv: str, words: list[str]) -> None:
    """The rules of systemd, which are no shell's."""
    variables = {"CONFIG": "/h.cfg", "MORE": "-f '/a b' -q"}
    assert unit_syntax.words(argv, variables) == words


@pytest.mark.fault("F218")
def test_an_environment_file() -> None:
    """Quotes, comments and lines that go on; no expansion, and no `export`."""
    text = """\
# comment
; another
A = b c \t
B="x $A \\" y"'z'
C='one
two'
D=one\\
 two
E=-f "a b"
export F=1
G
H=
A=last"""
    assert unit_syntax.file_variables(text) == {
        "A": "last",
        "B": 'x $A " yz',
        "C": "one\ntwo",
        "D": "one two",
        "E": '-f "a b"',
        "H": "",
    }
    with pytest.raises(ValueError, match="open"):
        unit_syntax.file_variables('A="open\n')


@pytest.mark.fault("F218")
def test_environment_files_may_be_missing() -> None:
    """By a minus in the unit."""
    optional = "/etc/default/haproxy (ignore_errors=yes)"
    assert unit_syntax.environment_path(optional) == ("/etc/default/haproxy", True)
    assert unit_syntax.environment_path("/a (ignore_errors=no)") == ("/a", False)


@pytest.mark.fault("F218")
def test_shell_assignments() -> None:
    """What each shell takes alike; whatever would have to be executed is not understood."""
    said = init_script.parse(
        "# c\n\nA=1 B=\"a b\"'c' # d\nexport C=2\n export A\nEXTRAOPTS=-f/x\n"
    )
    assert said.values == {"A": "1", "B": "a bc", "C": "2", "EXTRAOPTS": "-f/x"}
    assert said.environment == {"A": "1", "C": "2"}
    for wrong in ("A=$B", "A=`b`", "ulimit -n 9", ". /x", "A=1; B=2", 'A="b', "if x"):
        with pytest.raises(ValueError, match=r".+"):
            init_script.parse(wrong)
