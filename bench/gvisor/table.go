package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const head = `# gVisor

` + "`sandbox run --oci-runtime runsc`" + ` has the engine run a sandbox under [gVisor](https://gvisor.dev), a kernel in user space between the
agent and the host's. ` + "`make gvisor`" + ` writes this page: what of the contract the image ` + "`matrx-sandbox-base`" + ` keeps there, and what it costs beside runc, in one
run on one machine, with Debian 13's runsc %s and its platform systrap.

The engine's ` + "`daemon.json`" + ` has to name the runtime with these flags:

    {"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": [%s]}}}

- ` + "`--host-uds=open`" + `: a sandbox reaches its storage by a socket of the host's, which runsc refuses by default.
- ` + "`--network=none`" + `: with the access ` + "`restricted` and `allow`" + ` a sandbox has a loopback interface alone. Leave it out for ` + "`--access full`" + `.

What differs comes of three things that gVisor lacks:

- **FUSE.** A file made in the cold path's mount hangs, and a look at it can end gVisor's kernel. ` + "`sandbox run`" + ` leaves the mount out where the runtime's name begins with
  runsc; started otherwise, leave out ` + "`/dev/fuse`" + `. ` + "`sandbox-init cold ls`, `get` and `put`" + ` reach the files.
- **RENAME_NOREPLACE** onto a name from which a file was renamed away answers EEXIST (` + "`mv -n`" + ` fails of it as well). A file that another writer replaced while it was
  changed here keeps both versions, as everywhere, but theirs cannot be brought into the home: the stop says so and ends with 74.
- **O_TMPFILE, setfsuid(2) and the ambient capabilities** are unknown to it; sandbox-init does without.

`

// write writes the page.
func write(w io.Writer, version string, runs int, reports map[string]report, costs []sample) {
	quoted := make([]string, len(runscFlags))
	for n, f := range runscFlags {
		quoted[n] = fmt.Sprintf("%q", f)
	}
	fmt.Fprintf(w, head, version, strings.Join(quoted, ", "))
	fmt.Fprint(w, "## The contract\n\n")
	other := map[string]result{}
	for _, r := range reports["runc"].Results {
		other[r.ID] = r
	}
	fmt.Fprintf(w, "Under runc the image is %s: %s. Under runsc it is %s: %s. These differ:\n\n", reports["runc"].Verdict, count(reports["runc"]), reports["runsc"].Verdict, count(reports["runsc"]))
	fmt.Fprint(w, "| requirement | level | runc | runsc | what was seen under runsc |\n|---|---|---|---|---|\n")
	for _, r := range reports["runsc"].Results {
		if o := other[r.ID]; o.Status != r.Status {
			fmt.Fprintf(w, "| %s: %s | %s | %s | %s | %s |\n", r.ID, cell(r.Text), r.Level, o.Status, r.Status, cell(finding(r.Reason)))
		}
	}
	fmt.Fprintf(w, "\n## The cost\n\nMedians of %d containers each, in turn.\n\n| | runc | runsc | ratio |\n|---|---|---|---|\n", runs)
	for _, s := range costs {
		runc, runsc := s.median["runc"], s.median["runsc"]
		fmt.Fprintf(w, "| %s | %s | %s | %.1f |\n", s.figure.name, round(runc), round(runsc), float64(runsc)/float64(runc))
	}
}

func count(r report) string {
	n := map[string]int{}
	for _, v := range r.Results {
		n[v.Status]++
	}
	var out []string
	for _, s := range []string{"pass", "fail", "error", "unsupported", "skipped", "not run"} {
		if n[s] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(out, ", ")
}

// finding is a reason without what was printed, which names this run's directories.
func finding(reason string) string {
	if at := strings.IndexAny(reason, ":;\n"); at >= 0 {
		reason = reason[:at]
	}
	return reason
}

func cell(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "|", `\|`)), " ")
}

func round(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
