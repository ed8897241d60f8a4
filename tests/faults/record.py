"""What an archive got, whichever manners it had."""

from dataclasses import dataclass, field

from dicom_node.demo.archive import Kept, Manners, Verdict


@dataclass(kw_only=True)
class Record:
    """What the archive got, over all of its restarts."""

    #: what is held of each SOP Instance UID
    kept: dict[str, Kept] = field(default_factory=dict)
    #: digests of the data sets that came under each
    contents: dict[str, set[str]] = field(default_factory=dict)

    def manners(self, then: Manners) -> Manners:
        def judge(held: Kept | None, arrived: Kept) -> Verdict:
            self.contents.setdefault(arrived.sop_instance_uid, set()).add(arrived.digest)
            verdict = then(held or self.kept.get(arrived.sop_instance_uid), arrived)
            if verdict.keep:
                self.kept[arrived.sop_instance_uid] = arrived
            return verdict

        return judge

    def of(self, study: str) -> list[Kept]:
        """Results of one study that are held."""
        return [
            kept
            for kept in list(self.kept.values())
            if kept.study_instance_uid == study and kept.calling_ae_title == "CHEXNODE"
        ]
