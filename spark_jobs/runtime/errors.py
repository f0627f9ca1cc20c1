"""The errors of the data work: one tree, a type for each reason."""


class LakehouseError(Exception):
    """Base of all. The text says what is wrong, where, and what to do."""


class IntervalRefused(LakehouseError):
    """The interval is not two instants in order, or holds no landing date."""


class ParameterRefused(LakehouseError):
    """A job parameter is missing or has a value that the job does not know."""


class NothingLanded(LakehouseError):
    """Landing dates of the interval have no finished order file."""


class LandingRefused(LakehouseError):
    """A landing folder holds something that cannot be loaded as an order file."""


class LandingChanged(LandingRefused):
    """An order file changed while it was read: it is still being delivered."""


class HeaderRefused(LandingRefused):
    """The header of an order file is not the 53 columns of the source."""


class ManifestMismatch(LandingRefused):
    """A landing folder is not what its manifest says."""


class UnknownExpectation(LakehouseError):
    """A suite holds an expectation of a type that is not known here."""


class BuildMissing(LakehouseError):
    """No build of that job run is recorded, or its staging is gone."""


class BuildUnreadable(LakehouseError):
    """Another version of the code recorded a build, in a shape that this one does not know."""


class UpstreamMissing(LakehouseError):
    """The upstream layer has no publication yet, so there is nothing to build from."""


class PublicationMissing(LakehouseError):
    """A publication that is asked for, or that another one names, is not recorded."""


class TableDropped(LakehouseError):
    """A published table is gone, or some of its files are."""


class ConstraintViolated(LakehouseError):
    """A constraint that others added to a published table refuses rows that the gate has allowed."""


class GateRejected(LakehouseError):
    """There is no successful verdict for exactly what is about to be published."""


class DecisionRefused(LakehouseError):
    """A decision that is not accepted: its person may not decide, or nothing can be decided about its build."""


class PublicationConflict(LakehouseError):
    """Other runs kept publishing the layer first, or its tables are not what a publication describes."""


class SecretMissing(LakehouseError):
    """A secret that a job needs is not in its scope."""
