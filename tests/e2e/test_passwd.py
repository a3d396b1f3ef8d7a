"""`noctule passwd`: options, prompts, exit codes, and files that Mosquitto reads."""

import base64
import hashlib
import os
import pty
import re
import stat
import subprocess
import time

import pytest

from broker import EXECUTABLE, HOST, REFERENCE, RUNNER, free_port, run_command

ARGON2 = re.compile(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")


@pytest.fixture
def users(tmp_path):
    return tmp_path / "users.passwd"


def entry(path, user):
    """The hash of a user, which stands in the file once."""
    found = [line.split(":", 1)[1] for line in path.read_text().splitlines() if line.split(":")[0] == user]
    assert len(found) == 1, path.read_text()
    return found[0]


def pbkdf2_matches(text, password):
    """Whether a `$7$` string is of this password, as Python computes it."""
    _, kind, iterations, salt, key = text.split("$")
    assert kind == "7" and len(base64.b64decode(salt)) == 12
    return hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), int(iterations)) == \
        base64.b64decode(key)


def succeed(*arguments, **options):
    done = run_command("passwd", *arguments, **options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def fail(code, message, *arguments, **options):
    done = run_command("passwd", *arguments, **options)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stdout == ""


def test_batch_creates_adds_changes_and_deletes(users):
    succeed("-c", "-b", users, "alice", "one")
    assert ARGON2.fullmatch(entry(users, "alice"))
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    succeed("-b", users, "bob", "two", "--hash", "pbkdf2-sha512")
    assert pbkdf2_matches(entry(users, "bob"), "two")
    before = entry(users, "alice")
    succeed("--hash=pbkdf2-sha512", "-b", "--", users, "bob", "-three")
    assert pbkdf2_matches(entry(users, "bob"), "-three")
    assert entry(users, "alice") == before
    succeed("-D", users, "alice")
    assert users.read_text().startswith("bob:$7$") and users.read_text().count("\n") == 1
    fail(1, f"{users}: there is no such user", "-D", users, "alice")
    succeed("-cb", users, "carol", "four")
    assert users.read_text().startswith("carol:")


@pytest.mark.parametrize("line,password", [("secret\n", "secret"), ("secret", "secret"), ("secret\r\n", "secret"),
                                           (" se:cret \nmore\n", " se:cret "), ("pässwörd\n", "pässwörd")])
def test_password_from_standard_input(users, line, password):
    succeed("-c", "--stdin", "--hash", "pbkdf2-sha512", users, "alice", input=line)
    assert pbkdf2_matches(entry(users, "alice"), password)


@pytest.mark.parametrize("line", ["", "\n", "\r\n"])
def test_empty_password_is_refused(users, line):
    fail(1, "the password is empty", "-c", "--stdin", users, "alice", input=line)
    assert not users.exists()


def test_password_has_the_longest_length_of_mqtt(users):
    succeed("-c", "--stdin", "--hash", "pbkdf2-sha512", users, "alice", input="x" * 65535 + "\n")
    assert pbkdf2_matches(entry(users, "alice"), "x" * 65535)
    fail(1, "longer than 65535", "--stdin", users, "alice", input="x" * 65536 + "\n")


def on_terminal(arguments, typed):
    """Runs the command on a terminal of its own and types a line at each prompt; (exit code, what was shown)."""
    process, terminal = pty.fork()
    if process == 0:
        command = [*RUNNER, str(EXECUTABLE), "passwd", *map(str, arguments)]
        os.execvp(command[0], command)
    shown = b""
    for text in typed:
        prompts = shown.count(b"assword: ")
        while shown.count(b"assword: ") == prompts:
            shown += os.read(terminal, 1024)
        time.sleep(0.05)
        os.write(terminal, text)
    try:
        while chunk := os.read(terminal, 1024):
            shown += chunk
    except OSError:
        pass  # the terminal has gone with the process
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


def test_prompts_twice_without_echo(users):
    if REFERENCE:
        pytest.skip("only the broker under test has this")
    code, shown = on_terminal(["-c", "--hash", "pbkdf2-sha512", users, "alice"], [b"s3cret\n", b"s3cret\n"])
    assert code == 0, shown
    assert "s3cret" not in shown and shown.count("assword: ") == 2
    assert pbkdf2_matches(entry(users, "alice"), "s3cret")
    before = users.read_text()
    code, shown = on_terminal([users, "alice"], [b"s3cret\n", b"typo\n"])
    assert code == 1 and "not the same" in shown
    code, shown = on_terminal([users, "alice"], [b"\x03"])
    assert code == 1
    assert users.read_text() == before


def test_plain_text_entries_are_hashed(users):
    hashed = "bob:$7$101$aHAwAIOHVSvjTvjD$TgpxHzBN8locTbd0P9gYnrOP3LoK/bk5EPZnny4Dsx1Jb0gsBLeTzSZTcKtmWT9gyrLdoL+22ksaYH" \
             "JHnjrPSQ=="
    users.write_text(f"# users\nalice:one\n\n{hashed}\ncarol:two\n")
    users.chmod(0o644)
    done = run_command("passwd", "-U", "--hash", "pbkdf2-sha512", users)
    assert done.returncode == 0 and "now only its owner can (mode 0600)" in done.stderr
    lines = users.read_text().split("\n")
    assert lines[0] == "# users" and lines[2] == "" and lines[3] == hashed
    assert pbkdf2_matches(entry(users, "alice"), "one") and pbkdf2_matches(entry(users, "carol"), "two")
    before = users.read_text()
    succeed("-U", users)
    assert users.read_text() == before


def test_errors_in_a_plain_text_file_are_placed(users):
    text = "alice:one\nbob\ncarol:a:b\n"
    users.write_text(text)
    done = run_command("passwd", "-U", users)
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [f"{users}:2", f"{users}:3"]
    assert users.read_text() == text


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", "a\tb", "a\x7f", "a\x85", b"\xff", "#a", " a", "a ", "x" * 65536])
def test_user_names_are_checked(users, user):
    fail(1, "the user name", "-c", "-b", users, os.fsdecode(user), "secret")
    assert not users.exists()


def test_missing_file_needs_to_be_created(users):
    fail(1, "No such file or directory (-c creates it)", "-b", users, "alice", "secret")
    fail(1, "No such file or directory (-c creates it)", "-U", users)
    fail(1, "No such file or directory", "-c", "-b", users / "below", "alice", "secret")
    assert not users.exists()


@pytest.mark.parametrize("arguments,message", [
    ([], "FILE is missing"), (["f"], "USER is missing"), (["f", "u", "x"], "one argument too many: x"),
    (["-b", "f", "u"], "PASSWORD is missing"), (["-D", "f"], "USER is missing"), (["-U"], "FILE is missing"),
    (["-U", "f", "u"], "one argument too many: u"), (["-x", "f", "u"], "unknown option -x"),
    (["-bx", "f", "u"], "unknown option -x"), (["--wrong", "f", "u"], "unknown option --wrong"),
    (["--hash"], "missing after --hash"), (["--hash", "md5", "f", "u"], "argon2id or pbkdf2-sha512, not md5"),
    (["-D", "-U", "f"], "do not go together"), (["-b", "--stdin", "f", "u", "p"], "do not go together"),
    (["-D", "-c", "f", "u"], "do not go together"), (["-U", "--stdin", "f"], "do not go together"),
    (["-D", "--hash", "argon2id", "f", "u"], "does not go together"),
])
def test_wrong_usage(tmp_path, arguments, message):
    fail(2, message, *arguments, cwd=tmp_path)
    assert "Usage: noctule passwd" in run_command("passwd", *arguments, cwd=tmp_path).stderr
    assert list(tmp_path.iterdir()) == []


def test_help():
    done = run_command("passwd", "--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("-b", "-c", "-D", "-U", "--hash", "--stdin", "--help"):
        assert f"  {option}" in done.stdout or f", {option}" in done.stdout


def test_mosquitto_reads_what_is_written(users, tmp_path, tool):
    succeed("-c", "-b", "--hash", "pbkdf2-sha512", users, "alice", "secret")
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    # As root, so that it does not turn into a user who may not read the file.
    config.write_text(f"listener {port} {HOST}\nallow_anonymous false\npassword_file {users}\nuser root\n")
    mosquitto = subprocess.Popen([tool("mosquitto"), "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def publish(password):
        return subprocess.run([tool("mosquitto_pub"), "-h", HOST, "-p", str(port), "-u", "alice", "-P", password,
                               "-t", "t", "-m", "m"], capture_output=True, timeout=10, check=False).returncode

    try:
        deadline = time.monotonic() + 10
        while publish("secret") != 0:
            assert time.monotonic() < deadline and mosquitto.poll() is None
            time.sleep(0.1)
        assert publish("wrong") != 0
    finally:
        mosquitto.terminate()
        mosquitto.wait(10)
