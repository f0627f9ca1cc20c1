def audit_build(lakehouse, build):
    raise NotImplementedError
