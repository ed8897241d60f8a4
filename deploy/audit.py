"""`make audit`: are vulnerabilities known in the versions that constraints.txt pins?

Exit code 0: all were asked about, none is known; 1: some are, listed; 2: about some or all nothing was learnt.
"""

import json
import subprocess
import sys
from pathlib import Path

NONE_KNOWN, SOME_KNOWN, NOT_AUDITED = 0, 1, 2


def audit(constraints: Path, *options: str) -> tuple[int, str]:
    """One of the exit codes, and what to print. `options` are pip-audit's own."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "20", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no word of a stranger's
    try:
        # its exit code is of no use: 0 also where it skipped every package, since the service answered 404 to all
        asked = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return NOT_AUDITED, _nothing_learnt((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return _told(asked)


def _told(asked: list[dict[str, object]]) -> tuple[int, str]:
    skipped = [str(each["name"]) for each in asked if "skip_reason" in each]
    if len(skipped) == len(asked):
        return NOT_AUDITED, _nothing_learnt(str(asked[0]["skip_reason"]) if asked else "nothing is pinned")
    lines = [_line(each) for each in asked if each.get("vulns")]
    if skipped:
        lines.append(f"NOT AUDITED, for the service does not know them: {', '.join(skipped)}")
    known = len(lines) - bool(skipped)
    lines.append(f"{len(asked) - len(skipped)} of {len(asked)} packages audited, {known} with known vulnerabilities")
    return (SOME_KNOWN if known else NOT_AUDITED if skipped else NONE_KNOWN), "\n".join(lines)


def _line(dependency: dict[str, object]) -> str:
    found = dependency["vulns"]
    assert isinstance(found, list)
    told = (f"{each['id']} (fixed in {', '.join(each['fix_versions']) or 'no version yet'})" for each in found)
    return f"{dependency['name']} {dependency['version']}: {'; '.join(told)}"


def _nothing_learnt(why: str) -> str:
    return (
        "NOT AUDITED: the vulnerability service could not be asked, so nothing is known of these versions.\n"
        f"Its client says: {why}\nTry again where the service can be reached, or ask another one: "
        "make audit AUDIT='--vulnerability-service osv'"
    )


def main() -> None:
    code, said = audit(Path("constraints.txt"), *sys.argv[1:])
    print(said)
    sys.exit(code)


if __name__ == "__main__":
    main()
