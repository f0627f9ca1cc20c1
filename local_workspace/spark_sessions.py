"""Interrupt and release the Spark session of another process.

This calls Spark Connect's gRPC service directly, because creating a client session for it would take seconds.
"""

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class SparkSessions:
    """Ends sessions of one Spark Connect server."""

    def __init__(self, port: int, token: str, user_id: str) -> None:
        import grpc
        from pyspark.sql.connect import proto

        self._proto: Any = proto
        self._grpc: Any = grpc
        self._user = proto.UserContext(user_id=user_id, user_name=user_id)
        self._metadata = [("authorization", f"Bearer {token}")]
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0)])
        self._service: Any = proto.SparkConnectServiceStub(self._channel)

    def end(self, session_id: str, *, interrupt: bool) -> None:
        """Release the session, and interrupt its work first if asked to. Failures are logged: Spark may have ended."""
        proto = self._proto
        if interrupt:
            request = proto.InterruptRequest(session_id=session_id, user_context=self._user)
            request.interrupt_type = proto.InterruptRequest.InterruptType.INTERRUPT_TYPE_ALL
            self._call(self._service.Interrupt, request)
        self._call(
            self._service.ReleaseSession, proto.ReleaseSessionRequest(session_id=session_id, user_context=self._user)
        )

    def _call(self, method: Callable[..., Any], request: Any) -> None:
        try:
            method(request, metadata=self._metadata, timeout=15)
        except self._grpc.RpcError as error:
            details = error.details() or ""
            if "SESSION_CLOSED" not in details:  # the task has released it itself
                log.warning("Spark session %s: %s: %s", request.session_id, error.code(), details)

    def close(self) -> None:
        self._channel.close()
