package dockerfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const staged = `ARG BASE_IMAGE=debian:trixie-slim
ARG GO_IMAGE=matrx-sandbox-go:latest
FROM ${GO_IMAGE} AS tools

FROM ${BASE_IMAGE} AS foundation
COPY --chmod=0644 a.lock /a.lock
ENV DIR=files
RUN --mount=type=bind,source=build,target=/mnt \
    --mount=type=cache,target=/var/cache/apt \
    --mount=type=secret,id=ca \
    sh /mnt/x

FROM foundation AS base
ARG TARGETARCH
ARG SUFFIX=-init
COPY bin/linux-${TARGETARCH}/sandbox${SUFFIX} ./${DIR}/../extra/*.conf /usr/local/bin/
USER agent

FROM foundation AS fetched
COPY list.npm /list
ADD local.tar https://example.com/x /y

FROM foundation AS core
COPY --from=fetched /out /out
COPY --from=matrx-sandbox-js:latest /opt/js /opt/js
RUN --mount=from=tools,source=/go,target=/go --mount=type=bind,from=alpine@sha256:00,target=/z true
RUN --mount=type=bind,target=/all true
`

func needs(t *testing.T, text, target string, args map[string]string) *Needs {
	t.Helper()
	f, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Needs(target, args)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNeeds(t *testing.T) {
	n := needs(t, staged, "base", map[string]string{"TARGETARCH": "arm64"})
	if diff := cmp.Diff([]string{"a.lock", "bin/linux-arm64/sandbox-init", "build", "extra/*.conf"}, n.Files); diff != "" {
		t.Errorf("files of base (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"debian:trixie-slim"}, n.Images); diff != "" {
		t.Errorf("images of base (-want +got):\n%s", diff)
	}
	if strings.Contains(n.Text, "list.npm") || strings.Contains(n.Text, "AS tools") || !strings.Contains(n.Text, "source=build") || !strings.Contains(n.Text, "ARG GO_IMAGE") {
		t.Errorf("the text of base:\n%s", n.Text)
	}

	n = needs(t, staged, "", map[string]string{"BASE_IMAGE": "x:y"})
	if diff := cmp.Diff([]string{".", "a.lock", "build", "list.npm", "local.tar"}, n.Files); diff != "" {
		t.Errorf("files of core (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"alpine@sha256:00", "matrx-sandbox-go:latest", "matrx-sandbox-js:latest", "x:y"}, n.Images); diff != "" {
		t.Errorf("images of core (-want +got):\n%s", diff)
	}
}

func TestWhatTheTextDoesNotTellIsAnError(t *testing.T) {
	f, err := Parse("Dockerfile", []byte(staged))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Needs("base", nil); err == nil || !strings.Contains(err.Error(), "TARGETARCH has no value") || !strings.Contains(err.Error(), "Dockerfile:16") {
		t.Errorf("an argument without a value gives %v", err)
	}
	if _, err := f.Needs("nowhere", nil); err == nil || !strings.Contains(err.Error(), `no stage "nowhere"`) {
		t.Errorf("a stage that is not there gives %v", err)
	}
	if _, err := Parse("Dockerfile", []byte("FRON x\n")); err == nil {
		t.Error("a misspelt instruction is accepted")
	}
}

// Comments and blank lines are no part of what an image is made of.
func TestTextHasNoComments(t *testing.T) {
	with := needs(t, "FROM a:1\n# why\n\nRUN x \\\n    y\n", "", nil)
	without := needs(t, "FROM a:1\nRUN x \\\n    y\n", "", nil)
	if with.Text != without.Text {
		t.Errorf("a comment changes the text: %q, %q", with.Text, without.Text)
	}
}
