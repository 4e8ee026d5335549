package policy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Bounds of what Load reads, so that a wrong path or a bad file cannot use up the machine.
const (
	maxFile    = 1 << 20 // bytes
	maxEntries = 10_000  // entries of lists in one file, aliases followed
	maxFiles   = 1_000   // in one folder
)

// Load reads dir/{tenants,tools,personas,limits,inventory,response,baselines,rules}/*.yaml (or
// .yml). Each file has a list under the key that its folder is named after (in response a mapping;
// in rules each document is one rule). A file may hold several YAML documents. Missing folders are
// fine. The built-in limits hold until the user defines one, unless `builtin: true` or `false` in a
// file of limits decides it. A file that looks like a policy and is not read is a problem, and so
// is a folder without any policy.
//
// If anything is wrong there is no set. The errors, each a *Problem, are all that is wrong in all
// files.
func Load(dir string) (*Set, []error) { return LoadShadow(dir, "") }

// ShadowPrefix is what the ids of rules of a shadow folder begin with.
const ShadowPrefix = "shadow."

// LoadShadow also reads the rules of a second folder, if one is named. They run beside the others
// in mode shadow, whatever mode they have, under ids with ShadowPrefix. Nothing else in that folder
// is read.
func LoadShadow(dir, shadow string) (*Set, []error) {
	c := newCollector()
	c.checkFolder(dir, Folders())
	for _, s := range sections {
		s.read(c, c.files(filepath.Join(dir, s.folder)))
	}
	c.checkNotEmpty(dir)
	if shadow != "" {
		c.shadow = true
		c.checkFolder(shadow, []string{"rules"})
		dir := filepath.Join(shadow, "rules")
		files := c.files(dir)
		if c.loadRules(files); len(files) == 0 {
			src := &source{file: dir}
			c.addSource(src)
			src.problem(place{file: dir}, "no rules for the shadow; put them into files here")
		}
	}
	if errs := c.problems(); len(errs) > 0 {
		return nil, errs
	}
	return c.set(), nil
}

// sections are the folders of a set, in the order in which they are read: definitions come after
// those that they refer to.
var sections = []struct {
	folder string
	read   func(c *collector, files []*file)
}{
	{"tenants", (*collector).loadTenants},
	{"tools", (*collector).loadTools},
	{"personas", (*collector).loadPersonas},
	{"limits", (*collector).loadLimits},
	{"inventory", (*collector).loadInventory},
	{"response", (*collector).loadResponse},
	{"baselines", (*collector).loadBaselines},
	{"rules", (*collector).loadRules},
}

// each calls read with a definition of every document of every file, read into a fresh struct.
func each[T any](c *collector, files []*file, read func(def *T, src *source)) {
	for _, f := range files {
		for _, doc := range f.documents() {
			var def T
			src := f.decode(doc, &def)
			c.addSource(src)
			read(&def, src)
		}
	}
}

// addAll calls add with each definition of a list and its path. key is the key of the list.
func addAll[T any](defs []T, add func(def T, src *source, path string), src *source, key string) {
	for i, d := range defs {
		add(d, src, at(key, i))
	}
}

func (c *collector) loadPersonas(files []*file) {
	type doc struct {
		Personas []personaDef `json:"personas"`
	}
	each(c, files, func(d *doc, src *source) {
		addAll(d.Personas, c.addPersona, src, "personas")
	})
	c.inherit()
}

func (c *collector) loadLimits(files []*file) {
	type doc struct {
		Builtin *bool      `json:"builtin"`
		Limits  []limitDef `json:"limits"`
	}
	var add []func() // after the built-in ones, so that of two equal ids the user's is reported
	var builtin *bool
	var builtinAt place
	each(c, files, func(d *doc, src *source) {
		for i, l := range d.Limits {
			add = append(add, func() { c.addLimit(l, src, at("limits", i)) })
		}
		switch {
		case d.Builtin == nil:
		case builtin != nil && *builtin != *d.Builtin:
			src.reporter("")("builtin", "builtin is %t here and %t at %s; keep one of them", *d.Builtin, *builtin, builtinAt)
		default:
			builtin, builtinAt = d.Builtin, src.place("builtin")
		}
	})
	if builtin == nil && len(add) == 0 || builtin != nil && *builtin {
		c.addBuiltins()
	}
	for _, f := range add {
		f()
	}
}

// file is one file's text and what is wrong with it as a whole.
type file struct {
	source
	text        []byte
	entriesLeft int // entries
}

// files reads a folder, in the order of names.
func (c *collector) files(dir string) []*file {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	whole := &source{file: dir}
	c.addSource(whole)
	if err != nil {
		whole.problem(place{file: dir}, "%v; make it a folder that can be read", cause(err))
		return nil
	}
	var files []*file
	for _, e := range entries {
		// A ConfigMap's folder has ..data and the like beside links to the real files.
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !isPolicyFile(e.Name()) {
			reportStray(whole, dir, e)
			continue
		}
		c.read++
		if len(files) == maxFiles {
			whole.problem(place{file: dir}, "more than %d files; put several definitions into one", maxFiles)
			break
		}
		f := &file{source: source{file: filepath.Join(dir, e.Name())}, entriesLeft: maxEntries}
		c.addSource(&f.source)
		f.read()
		files = append(files, f)
	}
	return files
}

func (f *file) read() {
	// Not os.ReadFile: a named pipe or /dev/zero behind a link would never end.
	info, err := os.Stat(f.file)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var r *os.File
	if err == nil {
		r, err = os.Open(f.file)
	}
	if err == nil {
		f.text, err = io.ReadAll(io.LimitReader(r, maxFile+1))
		r.Close()
	}
	f.text = bytes.TrimPrefix(f.text, []byte(byteOrderMark))
	switch {
	case err != nil:
		f.problem(place{file: f.file}, "%v; make it a file that can be read, or remove it", cause(err))
	case len(f.text) > maxFile:
		f.problem(place{file: f.file}, "larger than 1 MiB; split it")
	case !utf8.Valid(f.text):
		line := 1
		for rest := f.text; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				break
			}
			if r == '\n' {
				line++
			}
			rest = rest[n:]
		}
		f.problem(place{f.file, line, 0}, "not UTF-8; save the file as UTF-8")
	default:
		return
	}
	f.text = nil
}
