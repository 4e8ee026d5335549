package catalogue

import (
	"path"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What texts in any language name: URLs, hosts, files.

// scanCode notes the URLs, hosts and files in a text of any language.
func (s *shell) scanCode(text string) {
	if len(text) > maxLine*4 {
		text, s.incomplete = event.Clip(text, maxLine*4), true
	}
	for i := 0; ; {
		n := strings.Index(text[i:], "://")
		if n < 0 {
			break
		}
		n += i
		from := n
		for from > 0 && n-from < 64 && (isWordByte(text[from-1]) && text[from-1] < 0x80 ||
			strings.IndexByte("+-.", text[from-1]) >= 0) {
			from--
		}
		end := n + 3
		for end < len(text) && strings.IndexByte(" \t\r\n\"'`<>(){}|;,", text[end]) < 0 {
			end++
		}
		if from < n && end > n+3 && event.Lower(text[from:n]) != "file" {
			s.reach(strings.TrimRight(text[from:end], `\].`))
		}
		i = end
	}
	// Texts in quotes that are files or hosts.
	for i := 0; i < len(text); i++ {
		q := text[i]
		if q != '"' && q != '\'' && q != '`' {
			continue
		}
		end := strings.IndexByte(text[i+1:min(len(text), i+1+maxValue)], q)
		if end < 0 {
			continue
		}
		v := text[i+1 : i+1+end]
		switch {
		case v == "" || strings.ContainsAny(v, "\n\t"):
			continue
		case strings.Contains(v, "://"):
		case strings.ContainsAny(v, " "):
			i += end + 1
			continue
		case isPath(v) && len(v) > 1, isSecretFile(v):
			s.path(v)
		case isHostName(v) && (isDigits(HostName(v)) || !strings.ContainsAny(v, "_") && strings.Count(v, ".") > 0 &&
			looksLikeDomain(v)):
			s.reach(v)
		}
		i += end + 1
	}
}

// looksLikeDomain accepts evil.example and not os.path: code has many names with dots.
func looksLikeDomain(v string) bool {
	h := HostName(v)
	last := h[strings.LastIndexByte(h, '.')+1:]
	return commonDomains[event.Lower(last)] || strings.Count(h, ".") >= 1 && strings.Contains(v, ":")
}

var commonDomains = nounsOf(`
	com org net io dev app ai co example test invalid info biz cloud online site xyz me ru cn de uk eu fr nl
	in us jp br au ca ch it es pl se no internal local localhost onion`)

// looksLikeShell reports whether code is a script for a shell, by its first line or word.
func looksLikeShell(code string) bool {
	code = strings.TrimLeft(code, " \t\r\n")
	first, _, _ := strings.Cut(code, "\n")
	if strings.HasPrefix(first, "#!") {
		return strings.HasSuffix(strings.TrimSpace(first), "sh") || strings.Contains(first, "sh ")
	}
	for strings.HasPrefix(code, "#") {
		_, code, _ = strings.Cut(code, "\n")
		code = strings.TrimLeft(code, " \t\r\n")
		first, _, _ = strings.Cut(code, "\n")
	}
	w, rest, _ := strings.Cut(first, " ")
	if strings.ContainsAny(w, "(=:\"',;") || strings.HasPrefix(strings.TrimLeft(rest, " "), "=") ||
		strings.HasPrefix(rest, "(") {
		return false
	}
	switch w {
	case "import", "from", "def", "class", "print", "const", "let", "var", "function", "return", "package", "use", "if",
		"for", "while", "with", "try", "async", "await":
		return false
	}
	base := path.Base(w)
	return readingPrograms[base] || writingPrograms[base] || programs[base] != nil
}
