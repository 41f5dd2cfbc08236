"""The package against a control socket and an orchestrator of the tests' own."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import matrx_agent
from matrx_agent import _orchestrator

STATE = {
    "phase": "run",
    "ready": True,
    "sandbox_id": "s1",
    "user_id": "u1",
    "hot_path": "/home/agent",
    "cold_path": "/data/cold",
    "storage": "s3",
}


class Server:
    """Answers requests from a list of (status, body), and keeps what it was sent."""

    def __init__(self, make: Any, address: Any, answers: list[tuple[int, Any]]) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, body))
                status, answer = answers.pop(0)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_one

            def address_string(self) -> str:  # a unix socket's peer has none
                return "test"

            def log_message(self, *args: Any) -> None:
                pass

        self.server = make(address, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        if not self.thread.is_alive():
            return
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Sandbox(unittest.TestCase):
    def setUp(self) -> None:
        self.run_dir = Path(self.enterContext(tempfile.TemporaryDirectory()))
        clean = {k: v for k, v in os.environ.items() if k not in ("SANDBOX_ID", "USER_ID", "HOT_PATH", "COLD_PATH", "ORCHESTRATOR_URL")}
        self.enterContext(mock.patch.dict(os.environ, {**clean, "SANDBOX_RUN_DIR": str(self.run_dir)}, clear=True))

    def state(self, **changes: Any) -> None:
        (self.run_dir / "state.json").write_text(json.dumps({**STATE, **changes}))

    def control(self, *answers: tuple[int, Any]) -> Server:
        server = Server(socketserver.ThreadingUnixStreamServer, str(self.run_dir / "control.sock"), list(answers))
        self.addCleanup(server.close)
        return server

    def orchestrator(self, *answers: tuple[int, Any]) -> Server:
        server = Server(http.server.ThreadingHTTPServer, ("127.0.0.1", 0), list(answers))
        self.addCleanup(server.close)
        os.environ["ORCHESTRATOR_URL"] = f"http://127.0.0.1:{server.server.server_address[1]}/api/"
        return server


class TestInfo(Sandbox):
    def test_state_counts_before_the_environment(self) -> None:
        os.environ.update(SANDBOX_ID="other", USER_ID="other", HOT_PATH="/other")
        self.state(hot_path="/srv/home")
        self.assertEqual(
            matrx_agent.info(), matrx_agent.Info("s1", "u1", Path("/srv/home"), Path("/data/cold"))
        )
        self.assertEqual(matrx_agent.hot_path("a", "b.md"), Path("/srv/home/a/b.md"))
        self.assertEqual(matrx_agent.cold_path(), Path("/data/cold"))

    def test_environment_alone(self) -> None:
        os.environ.update(SANDBOX_ID="s2", COLD_PATH="/cold")
        self.assertEqual(matrx_agent.info(), matrx_agent.Info("s2", "", Path("/home/agent"), Path("/cold")))

    def test_nowhere(self) -> None:
        with self.assertRaisesRegex(matrx_agent.NotInSandbox, "SANDBOX_ID is not set"):
            matrx_agent.info()

    def test_state_that_is_broken_is_named(self) -> None:
        (self.run_dir / "state.json").write_text("{")
        with self.assertRaisesRegex(matrx_agent.NotInSandbox, "state.json"):
            matrx_agent.info()


class TestStatus(Sandbox):
    def test_both_sources(self) -> None:
        self.state(problem="S3 is away")
        self.control((200, {"hot": {"state": "synced"}}))
        s = matrx_agent.status()
        self.assertEqual((s.phase, s.ready, s.storage, s.problem), ("run", True, "s3", "S3 is away"))
        self.assertEqual(s.saved, {"hot": {"state": "synced"}})

    def test_without_the_storage_process(self) -> None:
        self.state()
        self.assertIsNone(matrx_agent.status().saved)

    def test_outside(self) -> None:
        with self.assertRaises(matrx_agent.NotInSandbox):
            matrx_agent.status()


class TestCheckpoint(Sandbox):
    def test_success(self) -> None:
        self.state()
        server = self.control((200, {"sequence": 7, "files": 2, "bytes": 30, "took_ns": 1_500_000_000}))
        self.assertEqual(matrx_agent.checkpoint(), matrx_agent.Checkpoint(7, 2, 30, 1.5))
        self.assertEqual(server.seen, [("POST", "/v1/checkpoint", b"")])

    def test_what_was_not_saved_is_an_error_with_the_reason(self) -> None:
        for answer, text in [
            ((503, {"error": "a.md: access denied"}), "a.md: access denied"),
            ((500, b"not JSON"), "HTTP 500"),
            ((200, b"not JSON"), "HTTP 200"),
            ((200, b"[]"), "HTTP 200"),
        ]:
            with self.subTest(text=text, answer=answer):
                self.state()
                server = self.control(answer)
                with self.assertRaisesRegex(matrx_agent.CheckpointFailed, text):
                    matrx_agent.checkpoint()
                server.close()
                (self.run_dir / "control.sock").unlink()

    def test_timeout(self) -> None:
        self.state()
        listening = socketserver.UnixStreamServer(str(self.run_dir / "control.sock"), socketserver.BaseRequestHandler)
        self.addCleanup(listening.server_close)
        with self.assertRaisesRegex(matrx_agent.CheckpointFailed, "no answer within 0.05 s"):
            matrx_agent.checkpoint(timeout=0.05)

    def test_nobody_to_ask(self) -> None:
        self.state()
        with self.assertRaisesRegex(matrx_agent.NotInSandbox, "control.sock"):
            matrx_agent.checkpoint()
        self.state(storage="none")
        with self.assertRaisesRegex(matrx_agent.NotInSandbox, "no storage"):
            matrx_agent.checkpoint()


class TestReports(Sandbox):
    def setUp(self) -> None:
        super().setUp()
        self.state()

    def test_nothing_is_sent_without_an_orchestrator(self) -> None:
        self.assertFalse(matrx_agent.heartbeat())
        self.assertFalse(matrx_agent.complete())
        self.assertFalse(matrx_agent.error("x"))

    def test_what_is_sent(self) -> None:
        server = self.orchestrator(*[(204, b"")] * 3)
        self.assertTrue(matrx_agent.heartbeat(0.5))
        self.assertTrue(matrx_agent.complete({"n": 1}))
        self.assertTrue(matrx_agent.error("no", {"why": "x"}))
        self.assertEqual(
            [path for _, path, _ in server.seen],
            [f"/api/v1/sandboxes/s1/{kind}" for kind in ("heartbeat", "complete", "error")],
        )
        bodies = [json.loads(body) for _, _, body in server.seen]
        for body in bodies:
            self.assertEqual((body.pop("sandbox_id"), body.pop("user_id")), ("s1", "u1"))
            self.assertRegex(body.pop("time"), r"^20\d\d-.*\+00:00$")
        self.assertEqual(bodies, [{"progress": 0.5}, {"result": {"n": 1}}, {"message": "no", "details": {"why": "x"}}])

    def test_complete_is_repeated(self) -> None:
        server = self.orchestrator((503, b""), (429, b""), (200, b""))
        with mock.patch("time.sleep"):
            self.assertTrue(matrx_agent.complete())
        self.assertEqual(len(server.seen), 3)

    def test_heartbeat_is_not_repeated(self) -> None:
        server = self.orchestrator((503, b""))
        with self.assertRaisesRegex(matrx_agent.OrchestratorFailed, "HTTP 503"):
            matrx_agent.heartbeat()
        self.assertEqual(len(server.seen), 1)

    def test_a_refusal_is_final(self) -> None:
        server = self.orchestrator((403, b"who are you"))
        with self.assertRaisesRegex(matrx_agent.OrchestratorFailed, "HTTP 403.*who are you"):
            matrx_agent.complete()
        self.assertEqual(len(server.seen), 1)

    def test_nobody_there(self) -> None:
        server = self.orchestrator()
        server.server.server_close()
        with mock.patch.object(_orchestrator, "PATIENCE", 0), self.assertRaises(matrx_agent.OrchestratorFailed):
            matrx_agent.error("x")

    def test_mistakes_of_the_caller(self) -> None:
        with self.assertRaises(ValueError):
            matrx_agent.heartbeat(50)
        os.environ["ORCHESTRATOR_URL"] = "file:///etc/passwd"
        with self.assertRaisesRegex(matrx_agent.OrchestratorFailed, "must begin with http"):
            matrx_agent.heartbeat()


class TestImport(unittest.TestCase):
    def test_imports_little(self) -> None:
        program = "import sys, matrx_agent; print(' '.join(sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
        for heavy in ("httpx", "http.client", "urllib.request", "socket", "asyncio", "json", "dataclasses", "inspect"):
            self.assertNotIn(heavy, loaded)


if __name__ == "__main__":
    unittest.main()
