package policy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
)

// Files in a folder of policies that are not read. They are the worst kind of mistake: somebody
// wrote a rule, and it never runs. So a file that looks like a policy and is not read is a problem.
// Files that begin with a dot, README.md, lists.txt and copies such as rule.yaml.bak do not look
// like one.

// Folders are the folders of a set of policies.
func Folders() []string {
	var out []string
	for _, s := range sections {
		out = append(out, s.folder)
	}
	return out
}

// lookedFor says for people which files are read.
func lookedFor() string {
	return "*.yaml and *.yml in " + strings.Join(Folders()[:len(sections)-1], "/, ") + "/ and " +
		sections[len(sections)-1].folder + "/"
}

// checkFolder reports folders with other names, and files beside the folders, that look like
// policies.
func (c *collector) checkFolder(dir string, folders []string) {
	src := &source{file: dir}
	c.addSource(src)
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		src.problem(place{file: dir},
			"a file, and policies are a folder, in which wayward looks for %s; name that folder", lookedFor())
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		src.problem(place{file: dir}, "%v; make it a folder that can be read", cause(err))
		return
	}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		if strings.HasPrefix(name, ".") || slices.Contains(folders, name) {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			meant := spelling.Nearest(name, folders)
			if meant == "" && isSet(path) { // another set, such as a candidate's; or the right one
				c.nestedSet = path
				continue
			}
			if meant == "" && len(folders) < len(sections) { // of a shadow folder only rules are read
				continue
			}
			found := findBelow(path, 0, func(file string) bool { return meant != "" || looksLikePolicy(file) })
			switch {
			case found == "":
			case meant != "":
				src.problem(place{file: path},
					"%s is not read, for its folder is none of policies; did you mean %s/? wayward looks for %s", found,
					meant, lookedFor())
			default:
				src.problem(place{file: path},
					"%s is not read, for its folder is none of policies; wayward looks for %s: move it, or let the folder's name begin with a dot",
					found, lookedFor())
			}
		case info.Mode().IsRegular() && looksMisnamed(name) && looksLikePolicy(path):
			src.problem(place{file: path},
				"not read, for it lies in none of the folders; wayward looks for %s: move it there", lookedFor())
		}
	}
}

// checkNotEmpty reports a folder without any policy.
func (c *collector) checkNotEmpty(dir string) {
	if c.read > 0 || len(c.problems()) > 0 {
		return
	}
	src := &source{file: dir}
	c.addSource(src)
	if name := filepath.Base(dir); slices.Contains(Folders(), name) &&
		findBelow(dir, 0, func(f string) bool { return isPolicyFile(f) }) != "" {
		src.problem(place{file: dir}, "no policies found; wayward looks for %s: name the folder above %s", lookedFor(),
			name)
		return
	}
	if c.nestedSet != "" {
		src.problem(place{file: dir}, "no policies found; wayward looks for %s: did you mean %s?", lookedFor(), c.nestedSet)
		return
	}
	src.problem(place{file: dir},
		"no policies found; wayward looks for %s: put some there, or name no folder and the built-in limits apply",
		lookedFor())
}

// isSet reports whether a folder looks like a set of policies.
func isSet(dir string) bool {
	return slices.ContainsFunc(Folders(),
		func(of string) bool { return findBelow(filepath.Join(dir, of), 0, isPolicyFile) != "" })
}

// reportStray reports a file in one of the folders that is not read, and looks like a policy.
func reportStray(whole *source, dir string, e fs.DirEntry) {
	path := filepath.Join(dir, e.Name())
	info, err := os.Stat(path)
	switch {
	case err != nil:
	case info.IsDir():
		if found := findBelow(path, 0, func(f string) bool { return looksMisnamed(filepath.Base(f)) }); found != "" {
			whole.problem(place{file: found},
				"not read, for wayward looks for *.yaml and *.yml in %s itself and not in folders below; move it up, or let the name of %s begin with a dot",
				dir, path)
		}
	case looksMisnamed(e.Name()), slices.Contains([]string{"", ".json", ".jsonc", ".json5"}, filepath.Ext(e.Name())) &&
		looksLikePolicy(path):
		whole.problem(place{file: path},
			"not read, for wayward looks for *.yaml and *.yml, in these letters; name it %s.yaml, or let its name begin with a dot",
			stem(e.Name()))
	}
}

// isPolicyFile reports whether a file of that name is read.
func isPolicyFile(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(filepath.Base(name), ".")
}

// looksMisnamed reports whether a file's name is that of a policy, or nearly: D.YAML, d.yaml.txt,
// d.yalm.
func looksMisnamed(name string) bool {
	name = event.Lower(name)
	ext := strings.TrimPrefix(filepath.Ext(name), ".")
	switch ext {
	case "yaml", "yml":
		return true
	case "yam", "yal", "yalm", "ymal", "yamll", "yaaml", "yamle", "ylm", "ymll", "ymk":
		return true
	case "bak", "orig", "disabled", "off", "old", "tmp", "swp", "rej", "save", "example", "sample", "dist", "md":
		return false
	}
	return !strings.HasSuffix(ext, "~") && (strings.Contains(name, ".yaml.") || strings.Contains(name, ".yml."))
}

// stem is a file's name without its extensions.
func stem(name string) string {
	for _, ext := range []string{".yaml", ".yml"} {
		if i := strings.Index(event.Lower(name), ext); i > 0 {
			return name[:i]
		}
	}
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// Bounds of the search for files that look like policies.
const (
	maxBelow = 4    // folders deep
	maxLook  = 1000 // entries of one folder
)

// findBelow is the first file in or below a folder that meant accepts; "" if there is none.
func findBelow(dir string, depth int, meant func(file string) bool) string {
	entries, err := os.ReadDir(dir)
	if err != nil || depth == maxBelow {
		return ""
	}
	for _, e := range entries[:min(len(entries), maxLook)] {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			if found := findBelow(path, depth+1, meant); found != "" {
				return found
			}
		case info.Mode().IsRegular() && meant(path):
			return path
		}
	}
	return ""
}

var (
	sectionKey = regexp.MustCompile(`(?m)^(tenants|tools|personas|limits|inventory|response|baselines):`)
	inJSON     = regexp.MustCompile(`"(tenants|tools|personas|limits|inventory|response|baselines|where|steps)"\s*:`)
	ruleID     = regexp.MustCompile(`(?m)^id:`)
	ruleWhere  = regexp.MustCompile(`(?m)^(where|steps):`)
)

// looksLikePolicy reports whether the contents of a file look like policies.
func looksLikePolicy(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil && !errors.Is(err, io.EOF) || bytes.IndexByte(text, 0) >= 0 {
		return false
	}
	if strings.HasPrefix(filepath.Ext(path), ".json") {
		return inJSON.Match(text)
	}
	return sectionKey.Match(text) || ruleID.Match(text) && ruleWhere.Match(text)
}
