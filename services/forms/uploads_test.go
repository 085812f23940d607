package forms

import (
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"basisdienste/platform/authn"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/runtest"
)

// stored counts the files below the data folder.
func (n *town) stored(t *testing.T) (files int) {
	t.Helper()
	return countFiles(t, filepath.Join(n.Process.Host("forms").DataDir, "forms"))
}

func countFiles(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var documents = &FileRule{Types: []string{"application/pdf", "image/jpeg", "image/png"}, MaxBytes: 10 << 10, Max: 3}

func TestFolder_receive(t *testing.T) {
	t.Parallel()
	tenantID := id.New()
	tests := []struct {
		name, file, claimed string
		content             io.Reader
		code                string // "" is taken
		wantName, wantType  string
	}{
		{"pdf", "schein.pdf", "application/pdf", strings.NewReader(pdf), "", "schein.pdf", "application/pdf"},
		{"png in a path", `C:\Bilder\foto.png`, "image/png", strings.NewReader(png), "", "foto.png", "image/png"},
		{"type unknown to the sender", "x", "application/octet-stream", strings.NewReader(pdf), "", "x", "application/pdf"},
		{"no type claimed", "x", "", strings.NewReader(pdf), "", "x", "application/pdf"},
		{"name with control characters", "a\r\nb\u202egnp.pdf", "", strings.NewReader(pdf), "", "a__b_gnp.pdf", "application/pdf"},
		{"exactly the limit", "x.pdf", "", strings.NewReader(pdf + strings.Repeat("x", 10<<10-len(pdf))), "", "x.pdf", "application/pdf"},
		{"one byte more", "x.pdf", "", strings.NewReader(pdf + strings.Repeat("x", 10<<10-len(pdf)+1)), "file_too_large", "", ""},
		{"a program", "x.pdf", "application/pdf", strings.NewReader("MZ\x90\x00" + strings.Repeat("\x00", 100)), "file_type", "", ""},
		{"html", "x.pdf", "application/pdf", strings.NewReader("<!DOCTYPE html><html><script>alert(1)</script></html>"), "file_type", "", ""},
		{"svg", "x.png", "image/png", strings.NewReader(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`), "file_type", "", ""},
		{"a picture said to be a PDF", "x.pdf", "application/pdf", strings.NewReader(png), "file_type_mismatch", "", ""},
		{"empty", "x.pdf", "application/pdf", strings.NewReader(""), "file_empty", "", ""},
		{"cut off at the beginning", "x.pdf", "", iotest.ErrReader(io.ErrUnexpectedEOF), "upload_cut_off", "", ""},
		{"cut off midway", "x.pdf", "", io.MultiReader(strings.NewReader(pdf+strings.Repeat("x", 4000)), iotest.ErrReader(io.ErrClosedPipe)), "upload_cut_off", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d, err := newFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			f, err := d.receive(tenantID, iotest.OneByteReader(tt.content), documents, tt.file, tt.claimed)
			if tt.code != "" {
				if !fault.Is(err, tt.code) {
					t.Errorf("receive: got %v, want %s", err, tt.code)
				}
				if n := countFiles(t, dir); n != 0 {
					t.Errorf("after a refused upload: got %d files, want none", n)
				}
				return
			}
			if err != nil || f.Name != tt.wantName || f.Type != tt.wantType {
				t.Fatalf("receive: got %q %q, %v, want %q %q", f.Name, f.Type, err, tt.wantName, tt.wantType)
			}
			info, err := d.root.Stat(stored(tenantID, f.ID))
			if err != nil || info.Size() != f.Size || len(f.SHA256) != 64 {
				t.Errorf("stored file: got %v, %v, want %d bytes and a hash", info, err, f.Size)
			}
		})
	}
}

func TestFolder_sweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := newFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	tenantID := id.New()
	var ids []id.ID
	for range 3 {
		f, err := d.receive(tenantID, strings.NewReader(pdf), documents, "x", "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, f.ID)
	}
	half := filepath.Join(dir, incoming, "half")
	if err := os.WriteFile(half, []byte("%PDF"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for _, old := range []string{incoming + "/half", stored(tenantID, ids[0]), stored(tenantID, ids[1])} {
		if err := d.root.Chtimes(old, begin.Add(-2*time.Hour), begin.Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	known := func(owner, file id.ID) (bool, error) { return owner == tenantID && file == ids[0], nil }
	if err := d.sweep(time.Hour, known); err != nil {
		t.Fatalf("sweep: %v", err)
	}
	for i, want := range []bool{true, false, true} { // known; orphan; too young to tell
		_, err := d.root.Stat(stored(tenantID, ids[i]))
		if got := err == nil; got != want {
			t.Errorf("file %d after the sweep: there is %v, want %v", i, got, want)
		}
	}
	if countFiles(t, filepath.Join(dir, incoming)) != 0 {
		t.Error("half an upload survived the sweep")
	}
}

func TestPages_badUploads(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	c := n.citizen(t, "kim.1")
	c.fillPermit()
	page := "/t/erfurt/forms/applications/" + c.applicationID() + "/pages/proofs"
	before := n.stored(t)
	tests := []struct {
		name string
		file upload
		want string
	}{
		{"too large", upload{"vehicle-registration", "x.pdf", "application/pdf", pdf + strings.Repeat("x", 10<<20)}, "höchstens 10 MB"},
		{"wrong type", upload{"vehicle-registration", "x.pdf", "application/pdf", "MZ\x90\x00 program"}, "PDF, JPEG oder PNG"},
		{"other than claimed", upload{"vehicle-registration", "x.pdf", "application/pdf", png}, "PDF, JPEG oder PNG"},
		{"empty", upload{"vehicle-registration", "x.pdf", "application/pdf", ""}, "leer"},
	}
	for _, tt := range tests {
		c.open(page)
		c.press("go=next", nil, tt.file)
		c.expect(422, "Nachweise")
		if got := c.errors()["#f-vehicle-registration"]; !strings.Contains(got, tt.want) {
			t.Errorf("%s: got error %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := n.stored(t); got != before {
		t.Errorf("files after refused uploads: got %d, want %d", got, before)
	}

	// Cut off midway: the connection ends before the form does.
	body, contentType := multi(t, nil, []upload{{"vehicle-registration", "x.pdf", "application/pdf", pdf + strings.Repeat("x", 100_000)}})
	half := io.MultiReader(io.LimitReader(body, 50_000), iotest.ErrReader(io.ErrClosedPipe))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+page, half)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Cookie", "who=kim.1")
	if resp, err := c.client.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("upload cut off: got status %d, want the connection to end", resp.StatusCode)
	}
	runtest.Eventually(t, "nothing of the cut off upload is left", func() bool { return n.stored(t) == before })

	// Removing, and no more files than allowed.
	c.open(page)
	for range 3 {
		c.press("go=next", nil, upload{"vehicle-registration", "mehr.pdf", "application/pdf", pdf})
		c.open(page)
	}
	if n := strings.Count(words(c.doc), "mehr.pdf ("); n != 2 {
		t.Errorf("files of the question: got %d more, want 2", n)
	}
	c.press("", map[string]string{"remove-file": fileOf(t, c)})
	c.expect(200, "Nachweise")
	if got := n.stored(t); got != 2 {
		t.Errorf("files after removing one of three: got %d, want 2", got)
	}
}

// fileOf returns the id of the first file that the page lists.
func fileOf(t *testing.T, c *citizen) string {
	t.Helper()
	for _, b := range find(c.doc, "button") {
		if attr(b, "name") == "remove-file" {
			return attr(b, "value")
		}
	}
	t.Fatal("the page lists no file")
	return ""
}

func TestUpload_endlessBody(t *testing.T) {
	t.Parallel()
	n := newTown(t)
	efa := n.Token(authn.Principal{Kind: authn.Client, TenantID: n.erfurt.ID, ClientID: "efa", Scopes: []string{"forms:write"}})
	read := int64(0)
	endless := countReader{n: &read, r: io.LimitReader(io.MultiReader(strings.NewReader(pdf), zeros{}), 1<<30)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL+"/t/erfurt/forms/v1/forms/anwohnerparkausweis/files?field=/vehicle/registration", endless)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+efa)
	req.Header.Set("Content-Type", "application/pdf")
	resp, err := n.Client.Do(req)
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("1 GB upload: got %d, want 413", resp.StatusCode)
		}
	}
	if read > 64<<20 {
		t.Errorf("1 GB upload: %d bytes were taken, want it to end soon after 10 MB", read)
	}
	if got := n.stored(t); got != 0 {
		t.Errorf("files after a refused upload: got %d, want none", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type countReader struct {
	n *int64
	r io.Reader
}

func (c countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
