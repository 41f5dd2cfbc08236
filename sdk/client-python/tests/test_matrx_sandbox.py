"""The package against the real program, named in SANDBOX_PROGRAM, and against broken ones."""

from __future__ import annotations

import os
import stat
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import matrx_sandbox as m

PROGRAM = os.environ.get("SANDBOX_PROGRAM", "sandbox")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.dir = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.dict(os.environ, {"XDG_CONFIG_HOME": str(self.dir), "XDG_STATE_HOME": str(self.dir)}))


class Select(Case):
    def test_by_task(self) -> None:
        s = m.select(task="research", program=PROGRAM)
        self.assertEqual((s.image, s.access, s.registered, s.needs.task), ("research", "full", False, "research"))
        self.assertEqual(s.limits, m.Limits(4096, 4, 1800, 200))
        self.assertEqual(s.reference, f"matrx-sandbox-research:{s.version}")
        self.assertIn("numeric", s.needs.capabilities)
        self.assertTrue(s.reason)
        lost = {a.image: a for a in s.alternatives}
        self.assertNotIn("research", lost)
        self.assertFalse(lost["base"].fits)
        self.assertIn("cannot do", lost["base"].lost)
        self.assertEqual(s.raw["image"], "research")

    def test_by_all_else(self) -> None:
        s = m.select(runtime="node>=20,<24", capabilities=["git"], tools=["npm>=10"], prefer=["core"], registry="r.example.com/x", program=PROGRAM)
        self.assertEqual(s.reference, f"r.example.com/x/matrx-sandbox:{s.version}")
        self.assertEqual(s.needs.tools, ("node>=20,<24", "npm>=10"))

    def test_refused(self) -> None:
        with self.assertRaises(m.Refused) as caught:
            m.select(task="reserch", tools=["ffmpg"], program=PROGRAM)
        first, second = caught.exception.refusals
        self.assertEqual((first.kind, first.name, first.nearest[0]), ("task", "reserch", "research"))
        self.assertEqual((second.kind, second.nearest[0]), ("tool", "ffmpeg"))
        self.assertIn("reserch", str(caught.exception))
        with self.assertRaises(m.Refused) as caught:
            m.select(program=PROGRAM)
        self.assertEqual(caught.exception.refusals[0].kind, "nothing")

    def test_a_value_is_never_a_flag(self) -> None:
        with self.assertRaises(m.Refused) as caught:
            m.select(task="--help", program=PROGRAM)
        self.assertEqual(caught.exception.refusals[0].name, "--help")

    def test_a_string_is_not_several_names(self) -> None:
        with self.assertRaises(TypeError):
            m.select(tools="git", program=PROGRAM)

    def test_variants(self) -> None:
        self.assertIn("ml", m.variants(program=PROGRAM))
        self.assertEqual(m.resolve("ml", "1.2.0", registry="r.example.com", program=PROGRAM), "r.example.com/matrx-sandbox-ml:1.2.0")
        self.assertEqual(m.resolve("core", program=PROGRAM), "matrx-sandbox:latest")
        with self.assertRaises(m.Refused):
            m.resolve("mll", program=PROGRAM)

    def test_a_broken_catalog(self) -> None:
        (self.dir / "matrx-sandbox").mkdir()
        (self.dir / "matrx-sandbox" / "catalog.yaml").write_text("format: [")
        with self.assertRaisesRegex(m.ProgramFailed, "exit code 125: sandbox: cannot read your catalog"):
            m.select(task="research", program=PROGRAM)


class Program(Case):
    def program(self, script: str) -> Path:
        path = self.dir / "program"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def test_missing(self) -> None:
        with self.assertRaisesRegex(m.ProgramMissing, "install the program"):
            m.select(task="research", program=self.dir / "nowhere")

    def test_not_understood(self) -> None:
        for script in ("echo '{}'", "echo '[]'", "echo '{\"limits\":1,\"needs\":{}}'"):
            with self.subTest(script), self.assertRaisesRegex(m.ProgramFailed, "one release"):
                m.select(task="research", program=self.program(script))

    def test_failed(self) -> None:
        for script, want in (("echo no >&2; exit 3", "exit code 3: no"), ("exit 0", "said nothing"), ("echo x", "said nothing"), ("exit 1", "exit code 1")):
            with self.subTest(script), self.assertRaisesRegex(m.ProgramFailed, want):
                m.select(task="research", program=self.program(script))


if __name__ == "__main__":
    unittest.main()
