package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// verifyFiles reads the files of a store as Badger will. Its error says which is damaged.
func verifyFiles(o badger.Options) error {
	if !Exists(o.Dir) {
		return nil
	}
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		// Badger would take the directory for a new store, and its logs for all of its contents.
		return errors.New("the file MANIFEST is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var manifest badger.Manifest
	var end int64
	if err := catchFaults(func() (err error) { manifest, end, err = badger.ReplayManifestFile(f, 0, o); return err }); err != nil {
		return fmt.Errorf("MANIFEST: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != end {
		return fmt.Errorf("MANIFEST is whole up to byte %d only, and what it says of tables behind that is lost", end)
	}
	ids := make([]uint64, 0, len(manifest.Tables))
	for id := range manifest.Tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		name := table.NewFilename(id, o.Dir)
		if err := catchFaults(func() error { return verifyTable(o, name, manifest.Tables[id].Compression) }); err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// verifyTable opens a table with the compression that the manifest names, and reads all of it.
func verifyTable(o badger.Options, name string, c options.CompressionType) error {
	f, err := z.OpenMmapFile(name, os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.ErrNotExist
		}
		return err
	}
	if len(f.Data) < 16 {
		f.Close(-1)
		return fmt.Errorf("%d bytes are no table", len(f.Data))
	}
	closed := false
	defer func() {
		if !closed { // OpenTable panicked
			f.Close(-1)
		}
	}()
	t, err := table.OpenTable(f, table.Options{BlockSize: o.BlockSize, Compression: c,
		BloomFalsePositive: o.BloomFalsePositive, TableSize: uint64(o.BaseTableSize), ChkMode: options.OnTableRead})
	if err != nil {
		closed = strings.Contains(err.Error(), "checksum")
		return err
	}
	closed = true
	return t.Close(-1)
}
