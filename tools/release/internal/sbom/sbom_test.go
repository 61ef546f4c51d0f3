// SPDX-License-Identifier: Apache-2.0

package sbom

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func TestWrite(t *testing.T) {
	program := filepath.Join(t.TempDir(), "velo-release")
	if out, err := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	created := time.Unix(1_700_000_000, 0).UTC()
	var documents [2][]byte
	var err error
	for i := range documents {
		path := filepath.Join(t.TempDir(), "sbom.json")
		if err := Write(program, path, "v1.2.3", created); err != nil {
			t.Fatal(err)
		}
		if documents[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(documents[0], documents[1]) {
		t.Error("the same program made two documents")
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(documents[0]), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	// What the specification asks of a serial number.
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) {
		t.Errorf("serial number %s", bom.SerialNumber)
	}
	if main := bom.Metadata.Component; main.Version != "v1.2.3" || bom.Metadata.Timestamp != "2023-11-14T22:13:20Z" {
		t.Errorf("metadata %+v", main)
	}
	for _, want := range []string{"pkg:golang/std@", "pkg:golang/github.com/CycloneDX/cyclonedx-go@v"} {
		if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return strings.HasPrefix(c.PackageURL, want) }) {
			t.Errorf("there is no %s in %s", want, documents[0])
		}
	}
}

func TestWriteOfNoProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sbom.json")
	if err := Write("sbom_test.go", path, "v1", time.Time{}); err == nil {
		t.Error("a source file passes for a program")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a document was written")
	}
}
