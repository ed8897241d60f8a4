"""The text of a chexnode.toml in which every setting stands: set, or as a comment that shows its default."""

from collections.abc import Mapping

from dicom_node.cli.reference import SectionReference, sections, toml

HEAD = """\
# The configuration of chexnode, written by `chexnode init`. A line such as `#port = 11112` shows a default.
# The environment wins over this file: CHEXNODE_RECEIVE__PORT=11113 is port of [receive].
"""
PEERS = """\
# Every AE that sends to the node, receives from it, or both: one [[peers]] for each.
#
# To go live: write mode = "send" and start `chexnode serve` anew; `chexnode release --all` sends what is held by then.
"""


def configuration(values: Mapping[str, Mapping[str, object]], peer: Mapping[str, object]) -> str:
    """The whole file: `values` by section and key, and one `peer`; what they leave out stands in it as a comment."""
    *tables, peers = sections()
    blocks = [_block(each, values.get(each.name, {})) for each in tables]
    return "\n".join([HEAD, *blocks, f"{PEERS}[[peers]]\n{_lines(peers, peer)}"])


def _block(table: SectionReference, given: Mapping[str, object]) -> str:
    comment = table.comment.replace("\n", "\n# ").replace("# \n", "#\n")
    if not table.repeated:
        return f"# {comment}\n{table.header}\n{_lines(table, given)}"
    # in force it would be one entry of a list that need not have any
    lines = f"{table.header}\n{_lines(table, given)}".splitlines()
    return f"# {comment}\n#\n" + "".join(f"#     {line}\n" for line in lines)


def _lines(table: SectionReference, given: Mapping[str, object]) -> str:
    lines = []
    for setting in table.settings:
        choices = f" ({' | '.join(setting.choices)})" if setting.choices else ""
        lines.append(f"# {setting.comment}{choices}")
        if setting.key in given:
            lines.append(f"{setting.key} = {toml(given[setting.key])}")
        else:
            lines.append(f"#{setting.key} = {setting.default}".rstrip())
    return "\n".join(lines) + "\n"
