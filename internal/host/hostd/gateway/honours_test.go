package gateway

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/matrx/sandbox/contract"
)

// What the store honours the host says, with errors too; a store that says so itself is not passed on.
func TestHostSaysWhatItsStoreHonours(t *testing.T) {
	for name, tc := range map[string]struct {
		honours string
		status  int
	}{
		"it knows": {"PUT DELETE", http.StatusOK}, "it knows, of an error": {"PUT DELETE", http.StatusNotFound}, "it does not": {"", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(contract.HostStoreHeader, "COPY")
				w.WriteHeader(tc.status)
			}))
			defer store.Close()
			g, err := New(t.Context(), Options{Scope: Scope{Bucket: "bucket-1", Prefix: "users/u/"}, Log: slog.New(slog.DiscardHandler), Honours: tc.honours,
				Upstream: Upstream{Bucket: "bucket-1", Region: "r", Endpoint: store.URL, PathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")}})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/bucket-1/users/u/hot/a", nil))
			if got := w.Result().Header.Get(contract.HostStoreHeader); w.Code != tc.status || got != tc.honours {
				t.Errorf("it answers %d and says %q", w.Code, got)
			}
		})
	}
}
