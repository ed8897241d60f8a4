"""Which images go first: the section of the configuration, and the rules in it."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from dicom_node.sections import AETitle, Section, require_expressions


class PriorityRule(Section):
    """Whose images go first, or last: a rule holds where all that it names is met; the first that holds decides."""

    #: more is sooner, 0 is routine; each step is worth `level` seconds. The emergency department 2, a back-fill -6
    priority: Annotated[int, Field(ge=-100, le=100)]
    #: calling AE titles, of which one must be the sender's
    calling_ae_titles: tuple[AETitle, ...] = ()
    #: values of Requested Procedure Priority (0040,1003), such as STAT or HIGH, of which one must be the image's
    requested: tuple[Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True)], ...] = ()
    #: regular expressions, of which one must be found in the description of study, series or requested procedure
    descriptions: tuple[str, ...] = ()

    @field_validator("descriptions")
    @classmethod
    def _must_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return require_expressions(patterns)

    @model_validator(mode="after")
    def _must_name_something(self) -> "PriorityRule":
        if not (self.calling_ae_titles or self.requested or self.descriptions):
            raise ValueError("a rule of priority names calling_ae_titles, requested or descriptions, or it means all")
        return self


class PrioritySection(Section):
    """Which images are analysed first: what no rule names goes by Requested Procedure Priority, or by DIMSE's priority.

    STAT is 2, HIGH 1, LOW -1; where that says nothing, DIMSE's high is 1, its low -1.
    """

    #: seconds that a step of priority is worth: an image is overtaken by one that is a step more urgent if that comes
    #: within this time after it, and by none that comes later; so nothing waits for ever
    level: Annotated[float, Field(ge=0, le=2592000)] = 14400
    #: the rules, first to last, each under [[priority.rules]]
    rules: tuple[PriorityRule, ...] = ()
