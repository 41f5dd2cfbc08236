package mutants

// remove deletes a tool as a careless cleanup does.
func remove(path string) string { return "RUN rm " + path }

// shadow puts a script in front of a tool that says it is an older one.
func shadow(tool, version string) string {
	return "RUN printf '#!/bin/sh\\necho \"" + version + "\"\\n' > /usr/local/sbin/" + tool + " && chmod 755 /usr/local/sbin/" + tool
}

// withoutModule takes a Python module away wherever it lies.
func withoutModule(name string) string {
	return "RUN rm -r \"$(python3 -c 'import os, " + name + "; print(os.path.dirname(" + name + ".__file__))')\""
}

// All are the mutants, one or more for every MUST.
var All = []Mutant{
	{Breaks: "PATH-001", Is: "a wrapper script was removed", Dockerfile: remove("/opt/sandbox/scripts/hot-sync.sh")},
	{Breaks: "PATH-001", Is: "a wrapper script has logic of its own", Dockerfile: `RUN printf '#!/bin/sh\naws s3 sync /home/agent s3://b\nexec sandbox-init checkpoint\n' > /opt/sandbox/scripts/hot-sync.sh`},
	{Breaks: "PATH-002", Also: []string{"SEC-003"}, Is: "every user may write the configuration", Dockerfile: "RUN chmod 666 /opt/sandbox/config/sandbox.conf"},
	{Breaks: "PATH-003", Is: "files are baked into the home", Dockerfile: "RUN echo 'export A=1' > /home/agent/.bashrc"},
	{Breaks: "PATH-004", Is: "a directory below the mount", Dockerfile: "RUN mkdir /data/cold/models"},
	{Breaks: "PATH-005", Also: []string{"SEC-003"}, Is: "the agent may add hooks", Dockerfile: "RUN chmod 777 /opt/sandbox/hooks/pre-start.d"},

	{Breaks: "CMD-001", Is: "python3 is shadowed by 3.9", From: "core", Dockerfile: shadow("python3", "Python 3.9.2")},
	{Breaks: "CMD-002", Also: []string{"CMD-009"}, Is: "node is shadowed by 18, and npm is not found to work with it", From: "core", Dockerfile: shadow("node", "v18.20.4")},
	{Breaks: "CMD-003", Is: "aws is version 1", From: "core", Dockerfile: shadow("aws", "aws-cli/1.32.0 Python/3.11")},
	{Breaks: "CMD-004", Also: []string{"CMD-009"}, Is: "git was removed", From: "core", Dockerfile: "RUN rm \"$(command -v git)\""},
	{Breaks: "CMD-005", Also: []string{"CMD-009"}, Is: "curl was removed", Dockerfile: "RUN rm \"$(command -v curl)\""},
	{Breaks: "CMD-006", Also: []string{"CMD-009"}, Is: "core's jq was removed", From: "core", Dockerfile: "RUN rm \"$(command -v jq)\""},
	{Breaks: "CMD-007", Also: []string{"CMD-009"}, Is: "rg was removed", From: "core", Dockerfile: "RUN rm \"$(command -v rg)\""},
	{Breaks: "CMD-008", Also: []string{"CMD-009"}, Is: "fd has Debian's name only", From: "core", Dockerfile: "RUN rm \"$(command -v fd)\""},
	{Breaks: "CMD-009", Is: "a tool is found by login shells only", Dockerfile: `RUN mkdir -p /opt/extra && mv "$(command -v gawk)" /opt/extra/gawk && echo 'PATH=$PATH:/opt/extra' > /etc/profile.d/extra.sh`},

	{Breaks: "PY-001", Is: "matrx_agent is gone", From: "core", Dockerfile: withoutModule("matrx_agent")},
	{Breaks: "PY-002", Is: "httpx is gone", From: "core", Dockerfile: withoutModule("httpx")},
	{Breaks: "PY-003", Is: "pydantic is gone", From: "core", Dockerfile: withoutModule("pydantic")},
	{Breaks: "PY-004", Is: "rich is gone", From: "core", Dockerfile: withoutModule("rich")},
	{Breaks: "PY-005", Is: "yaml is gone", From: "core", Dockerfile: withoutModule("yaml")},

	{Breaks: "ENTRY-001", Is: "the entrypoint was replaced by bash", Dockerfile: `ENTRYPOINT ["/bin/bash", "-c"]`},
	{Breaks: "ENTRY-002", Is: "entrypoint.sh stays in front of sandbox-init", Dockerfile: `RUN printf '#!/bin/sh\n/usr/local/bin/sandbox-init -- "$@" || exit\n' > /opt/sandbox/scripts/entrypoint.sh`},
	{Breaks: "ENTRY-003", Is: "the stop signal is another one", Dockerfile: "STOPSIGNAL SIGUSR1"},
	{Breaks: "ENTRY-004", Is: "the health check was switched off", Dockerfile: "HEALTHCHECK NONE"},
	{Breaks: "ENTRY-004", Is: "the health check says yes to everything", Fault: "always-healthy"},
	{Breaks: "ENTRY-005", Is: "the image ends as root", Dockerfile: "USER root"},

	{Breaks: "ENV-001", Is: "the image moves the home", Dockerfile: "ENV HOT_PATH=/srv/home"},
	{Breaks: "ENV-002", Is: "a mistake in the configuration is passed over", Fault: "forget-mistake"},
	{Breaks: "USER-001", Is: "the drop to the agent is defeated", Fault: "no-drop"},
	{Breaks: "USER-002", Is: "the second name is gone", Dockerfile: "RUN sed -i /^sandbox:/d /etc/passwd"},

	{Breaks: "LIFE-001", Is: "ready from the start", Fault: "ready-early"},
	{Breaks: "LIFE-002", Also: []string{"LIFE-003", "LIFE-007"}, Is: "the exit code is lost, a killed command's and a failed hook's too", Fault: "exit-zero"},
	{Breaks: "LIFE-003", Is: "the shutdown takes its own time", Fault: "slow-stop"},
	{Breaks: "LIFE-004", Is: "sandbox-init is not PID 1 and does not see other sessions", Fault: "not-pid1"},
	{Breaks: "LIFE-003", Is: "a wrapper swallows SIGTERM", Fault: "swallow-term"},
	{Breaks: "LIFE-004", Also: []string{"LIFE-001"}, Is: "a hook swallows SIGTERM: it kills the processes that should have been told", Dockerfile: `RUN printf '#!/bin/bash\nkill -KILL -1\n' > /opt/sandbox/hooks/pre-stop.d/10-kill && chmod 755 /opt/sandbox/hooks/pre-stop.d/10-kill`},
	{Breaks: "LIFE-005", Also: []string{"LIFE-004"}, Is: "PID 1 does not reap; nor does it see other sessions", Fault: "no-reap"},
	{Breaks: "LIFE-006", Also: []string{"LIFE-004"}, Is: "PID 1 passes on no signals but SIGTERM; nor does it see other sessions", Fault: "no-signals"},
	{Breaks: "LIFE-007", Is: "pre-start hooks are looked for elsewhere", Dockerfile: patch("hooks/pre-start.d", "hooks/pre-start.x")},
	{Breaks: "LIFE-008", Is: "pre-stop hooks are looked for elsewhere", Dockerfile: patch("hooks/pre-stop.d", "hooks/pre-stop.x")},
	{Breaks: "LIFE-009", Is: "status says that everything is kept", Fault: "status-lies"},
	{Breaks: "LIFE-010", Is: "a default command in the place of the idle sandbox: its end, by SIGTERM, is the sandbox's", Dockerfile: `CMD ["/bin/sleep", "infinity"]`},
	{Breaks: "LIFE-011", Is: "the stop ends what a command starts to clean up", Fault: "term-late"},

	{Breaks: "EXEC-001", Is: "there is no exec server, as in an image before 1.1.0", Fault: "exec-unknown"},
	{Breaks: "EXEC-001", Is: "where the agent could answer in its place the server is left out, without a word", Fault: "exec-anywhere"},
	{Breaks: "EXEC-002", Is: "an exec has another user's home in its environment", Fault: "exec-env"},
	{Breaks: "EXEC-003", Is: "execs go through a shell, which says itself that there is no such program", Fault: "exec-shell"},
	{Breaks: "EXEC-004", Is: "a terminal has the usual size", Fault: "exec-size"},
	{Breaks: "EXEC-005", Is: "a client that attaches again gets all output again", Fault: "exec-again"},
	{Breaks: "EXEC-006", Is: "a timeout kills the exec's process group alone", Fault: "exec-timeout"},
	{Breaks: "EXEC-007", Is: "a write is added to what the file has", Fault: "exec-put"},
	{Breaks: "EXEC-008", Is: "no port is reached", Fault: "exec-ports"},
	{Breaks: "EXEC-009", Is: "a stop cuts the streams off", Fault: "exec-cut"},
	{Breaks: "EXEC-010", Is: "the execs of a killed server are forgotten", Fault: "exec-forgets"},

	{Breaks: "HOT-001", Is: "a part of the home is left out", Fault: "half-hydrate"},
	{Breaks: "HOT-002", Is: "changes go up at the end only", Fault: "sync-late"},
	{Breaks: "HOT-003", Also: []string{"HOT-004", "HOT-007", "HOT-008", "HOT-009"}, Is: "a stop is a kill: no flush, and the lease is not given back; every check that stops a sandbox to look at S3 sees it", Fault: "no-flush"},
	{Breaks: "HOT-004", Also: []string{"HOT-002"}, Is: "deletions do not arrive; a rename leaves its old name", Fault: "drop-deletes"},
	{Breaks: "HOT-005", Also: []string{"HOT-007"}, Is: "without its workspace the sandbox starts all the same, also when another one holds it", Fault: "start-anyway"},
	{Breaks: "HOT-006", Is: "a failed save exits 0", Fault: "hide-74"},
	{Breaks: "HOT-007", Is: "the lease is not looked at", Fault: "no-lease"},
	{Breaks: "HOT-008", Is: "a conflict is not noticed, and the local version is lost", Fault: "no-conflicts"},
	{Breaks: "HOT-009", Is: "a key is followed out of the home", Fault: "follow-keys"},
	{Breaks: "HOT-010", Is: "the exclusion rules are forgotten", Fault: "no-exclusions"},

	{Breaks: "COLD-001", Is: "the cold path is never mounted", Fault: "no-fuse"},
	{Breaks: "COLD-002", Is: "status says mounted where nothing is", Fault: "cold-lies"},

	{Breaks: "SEC-001", Is: "a setuid binary was added", Dockerfile: "RUN cp /bin/true /usr/local/bin/helper && chmod 4755 /usr/local/bin/helper"},
	{Breaks: "SEC-002", Is: "a key was copied in and removed again", Dockerfile: `RUN printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n' "$(head -c 60 /dev/zero | base64 -w0)" > /opt/deploy_key
RUN rm /opt/deploy_key`},
	{Breaks: "SEC-003", Is: "every user may write a system directory", Dockerfile: "RUN chmod 777 /usr/local/lib"},
	{Breaks: "SEC-004", Is: "the user is dropped, the capabilities are not", Fault: "keep-caps"},
	{Breaks: "SEC-005", Is: "the credentials are copied for convenience", Fault: "copy-credentials"},

	{Breaks: "MAN-001", Is: "the manifest is gone", Also: []string{}, Dockerfile: remove("/etc/llmcore/capabilities.json")},
	{Breaks: "MAN-002", Is: "the manifest names a tool that is not there", Dockerfile: `RUN sed -i 's/"curl"/"curl", "psql"/' /etc/sandbox/capabilities.json`},
	{Breaks: "MAN-002", Is: "the manifest promises another version", Dockerfile: `RUN sed -i '1a "versions": {"curl": "1.0"},' /etc/sandbox/capabilities.json`},
	{Breaks: "MAN-004", Is: "a label says another name", Dockerfile: "LABEL variant=other"},

	{Breaks: "VAR-001", Is: "built from something that is not the parent", Dockerfile: "RUN echo a > /opt/a", Parent: "own", ParentDockerfile: "RUN echo b > /opt/b"},
	{Breaks: "VAR-002", Is: "another sandbox-init was copied in", Dockerfile: "RUN printf x >> /usr/local/bin/sandbox-init", Parent: "base"},
	{Breaks: "VAR-003", Is: "a tool of the parent was removed", Dockerfile: `RUN rm "$(command -v less)"`, Parent: "base"},
	{Breaks: "VAR-003", Is: "a tool of the parent is shadowed", Dockerfile: shadow("curl", "curl 1.0"), Parent: "base"},
	{Breaks: "VAR-003", Is: "the manifest leaves out a tool of the parent", Dockerfile: `RUN sed -i '/"less",/d' /etc/sandbox/capabilities.json`, Parent: "base"},
	{Breaks: "VAR-003", Is: "an inherited promise is not repeated", From: "core", Dockerfile: `RUN sed -i 's/"profile": "core"/"profile": "lifecycle"/' /etc/sandbox/capabilities.json`, Parent: "core"},
	{Breaks: "VAR-004", Is: "a variable of the parent has another value", Dockerfile: "ENV LANG=de_DE.UTF-8", Parent: "base"},
}

// patch edits a path in sandbox-init itself; the same length, so that it stays a program.
func patch(from, to string) string {
	return "RUN LC_ALL=C sed -i 's|" + from + "|" + to + "|g' /usr/local/bin/sandbox-init"
}
