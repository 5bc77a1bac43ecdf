#include "base/regex.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { REPEAT_MAX = 1000 };

/* What is open: the whole, and each '(' in it. Weights: how often the innermost thing is repeated by the {n} around it, which
 * RE2 bounds at REPEAT_MAX, because it writes repetitions out. */
struct group {
	bool has_last;    /* there is something that an operator could repeat */
	int last, most;   /* weight of that; of everything in the group */
	size_t at;        /* where its '(' stands */
};

struct parse {
	const char *text, *p;
	struct group groups[SL_REGEX_DEPTH_MAX];
	size_t depth;
	const char *problem; /* NULL: none yet */
	size_t at;
};

static bool fail(struct parse *r, const char *at, const char *problem)
{
	r->problem = problem;
	r->at = (size_t)(at - r->text);
	return false;
}

static bool is_word(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
static bool is_octal(int c) { return c >= '0' && c <= '7'; }

static int hex_value(int c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* One character of UTF-8, which the text is; 0 at its end. */
static int32_t next_character(const char **p)
{
	const unsigned char *s = (const unsigned char *)*p;
	int more = *s < 0x80 ? 0 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
	int32_t c = more ? *s & (0x3f >> more) : *s;
	for (int i = 1; i <= more; i++)
		c = c << 6 | (s[i] & 0x3f);
	*p += *s ? 1 + more : 0;
	return c;
}

/* ---- escapes ---------------------------------------------------------------------------------------------------------- */

static bool read_hex(const char **p, int32_t *ret)
{
	int32_t value = 0;
	if (**p != '{') {
		if (hex_value((*p)[0]) < 0 || hex_value((*p)[1]) < 0)
			return false;
		*ret = hex_value((*p)[0]) * 16 + hex_value((*p)[1]);
		*p += 2;
		return true;
	}
	const char *q = *p + 1;
	for (; hex_value(*q) >= 0; q++)
		if ((value = value * 16 + hex_value(*q)) > 0x10ffff)
			return false;
	if (*q != '}' || q == *p + 1)
		return false;
	*p = q + 1;
	*ret = value;
	return true;
}

/* Behind the backslash of something that means one character: \n, \., \x41, \012. */
static bool read_escape(struct parse *r, int32_t *ret)
{
	static const char LETTERS[] = "nrtafv", MEANT[] = "\n\r\t\a\f\v";
	const char *start = r->p++;
	const char *letter = *r->p ? strchr(LETTERS, *r->p) : NULL;
	if (!*r->p)
		return fail(r, start, "a '\\' at the end escapes nothing");
	if (letter) {
		*ret = MEANT[letter - LETTERS];
		r->p++;
		return true;
	}
	if (*r->p == 'x') {
		r->p++;
		return read_hex(&r->p, ret) || fail(r, start, "'\\x' wants two hexadecimal digits, or up to 10FFFF in braces");
	}
	if (*r->p == '0' || (is_octal(*r->p) && is_octal(r->p[1]))) {
		*ret = 0;
		for (int i = 0; i < 3 && is_octal(*r->p); i++)
			*ret = *ret * 8 + (*r->p++ - '0');
		return true;
	}
	if (*r->p >= '1' && *r->p <= '9')
		return fail(r, start, "back references are not supported");
	if ((unsigned char)*r->p < 0x80 && (!is_word(*r->p) || *r->p == '_')) {
		*ret = *r->p++;
		return true;
	}
	return fail(r, start, "there is no such escape");
}

/* \p{Greek}, \pL; true also when it is none (*ret_is). */
static bool read_unicode(struct parse *r, bool *ret_is)
{
	static const char *const NAMES[] = {
		"Adlam", "Ahom", "Anatolian_Hieroglyphs", "Any", "Arabic", "Armenian", "Avestan", "Balinese", "Bamum", "Bassa_Vah",
		"Batak", "Bengali", "Bhaiksuki", "Bopomofo", "Brahmi", "Braille", "Buginese", "Buhid", "C", "Canadian_Aboriginal",
		"Carian", "Caucasian_Albanian", "Cc", "Cf", "Chakma", "Cham", "Cherokee", "Chorasmian", "Co", "Common", "Coptic", "Cs",
		"Cuneiform", "Cypriot", "Cypro_Minoan", "Cyrillic", "Deseret", "Devanagari", "Dives_Akuru", "Dogra", "Duployan",
		"Egyptian_Hieroglyphs", "Elbasan", "Elymaic", "Ethiopic", "Georgian", "Glagolitic", "Gothic", "Grantha", "Greek",
		"Gujarati", "Gunjala_Gondi", "Gurmukhi", "Han", "Hangul", "Hanifi_Rohingya", "Hanunoo", "Hatran", "Hebrew", "Hiragana",
		"Imperial_Aramaic", "Inherited", "Inscriptional_Pahlavi", "Inscriptional_Parthian", "Javanese", "Kaithi", "Kannada",
		"Katakana", "Kawi", "Kayah_Li", "Kharoshthi", "Khitan_Small_Script", "Khmer", "Khojki", "Khudawadi", "L", "Lao",
		"Latin", "Lepcha", "Limbu", "Linear_A", "Linear_B", "Lisu", "Ll", "Lm", "Lo", "Lt", "Lu", "Lycian", "Lydian", "M",
		"Mahajani", "Makasar", "Malayalam", "Mandaic", "Manichaean", "Marchen", "Masaram_Gondi", "Mc", "Me", "Medefaidrin",
		"Meetei_Mayek", "Mende_Kikakui", "Meroitic_Cursive", "Meroitic_Hieroglyphs", "Miao", "Mn", "Modi", "Mongolian", "Mro",
		"Multani", "Myanmar", "N", "Nabataean", "Nag_Mundari", "Nandinagari", "Nd", "New_Tai_Lue", "Newa", "Nko", "Nl", "No",
		"Nushu", "Nyiakeng_Puachue_Hmong", "Ogham", "Ol_Chiki", "Old_Hungarian", "Old_Italic", "Old_North_Arabian",
		"Old_Permic", "Old_Persian", "Old_Sogdian", "Old_South_Arabian", "Old_Turkic", "Old_Uyghur", "Oriya", "Osage",
		"Osmanya", "P", "Pahawh_Hmong", "Palmyrene", "Pau_Cin_Hau", "Pc", "Pd", "Pe", "Pf", "Phags_Pa", "Phoenician", "Pi",
		"Po", "Ps", "Psalter_Pahlavi", "Rejang", "Runic", "S", "Samaritan", "Saurashtra", "Sc", "Sharada", "Shavian",
		"Siddham", "SignWriting", "Sinhala", "Sk", "Sm", "So", "Sogdian", "Sora_Sompeng", "Soyombo", "Sundanese",
		"Syloti_Nagri", "Syriac", "Tagalog", "Tagbanwa", "Tai_Le", "Tai_Tham", "Tai_Viet", "Takri", "Tamil", "Tangsa",
		"Tangut", "Telugu", "Thaana", "Thai", "Tibetan", "Tifinagh", "Tirhuta", "Toto", "Ugaritic", "Vai", "Vithkuqi",
		"Wancho", "Warang_Citi", "Yezidi", "Yi", "Z", "Zanabazar_Square", "Zl", "Zp", "Zs",
	};
	const char *start = r->p, *name = r->p + 2, *end;
	*ret_is = r->p[0] == '\\' && (r->p[1] == 'p' || r->p[1] == 'P');
	if (!*ret_is)
		return true;
	if (*name == '{') {
		name++;
		end = strchr(name, '}');
		r->p = end ? end + 1 : r->p;
		name += *name == '^';
	} else {
		end = name;
		next_character(&end);
		r->p = end;
	}
	for (size_t i = 0; end && i < SL_ARRAY_LEN(NAMES); i++)
		if (strlen(NAMES[i]) == (size_t)(end - name) && strncmp(NAMES[i], name, (size_t)(end - name)) == 0)
			return true;
	return fail(r, start, "there is no such class of characters");
}

static bool is_perl_class(const char *p) { return p[0] == '\\' && p[1] && strchr("dDsSwW", p[1]); }

/* ---- [...] ------------------------------------------------------------------------------------------------------------ */

/* [:alpha:]; true also when it is none. RE2 looks for the end in the whole rest. */
static bool read_posix(struct parse *r, bool *ret_is)
{
	static const char *const NAMES[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
					    "upper", "word", "xdigit"};
	const char *start = r->p, *end = r->p[0] == '[' && r->p[1] == ':' ? strstr(r->p + 2, ":]") : NULL;
	*ret_is = end != NULL;
	if (!end)
		return true;
	const char *name = start + 2 + (start[2] == '^');
	r->p = end + 2;
	for (size_t i = 0; i < SL_ARRAY_LEN(NAMES); i++)
		if (end >= name && strlen(NAMES[i]) == (size_t)(end - name) && strncmp(NAMES[i], name, (size_t)(end - name)) == 0)
			return true;
	return fail(r, start, "there is no such class of characters");
}

static bool read_class_character(struct parse *r, const char *open, int32_t *ret)
{
	if (!*r->p)
		return fail(r, open, "the '[' is not closed");
	if (*r->p == '\\')
		return read_escape(r, ret);
	*ret = next_character(&r->p);
	return true;
}

static bool read_range(struct parse *r, const char *open)
{
	const char *start = r->p;
	int32_t low, high;
	if (!read_class_character(r, open, &low))
		return false;
	if (r->p[0] != '-' || r->p[1] == ']' || !r->p[1])
		return true;
	r->p++;
	if (!read_class_character(r, open, &high))
		return false;
	return low <= high || fail(r, start, "the range ends before it begins");
}

static bool read_class(struct parse *r)
{
	const char *open = r->p++;
	r->p += *r->p == '^';
	for (bool first = true; *r->p && (*r->p != ']' || first); first = false) {
		bool is = false;
		if (!read_posix(r, &is) || (!is && !read_unicode(r, &is)))
			return false;
		if (!is && is_perl_class(r->p))
			r->p += 2;
		else if (!is && !read_range(r, open))
			return false;
	}
	return *r->p++ == ']' || fail(r, open, "the '[' is not closed");
}

/* ---- groups ----------------------------------------------------------------------------------------------------------- */

static void put(struct parse *r, int weight)
{
	struct group *g = &r->groups[r->depth];
	g->has_last = true;
	g->last = weight;
	g->most = g->most > weight ? g->most : weight;
}

static bool open_group(struct parse *r, const char *at)
{
	if (r->depth + 1 == SL_REGEX_DEPTH_MAX)
		return fail(r, at, "groups are nested too deeply");
	r->groups[++r->depth] = (struct group){.most = 1, .at = (size_t)(at - r->text)};
	return true;
}

static bool close_group(struct parse *r)
{
	if (!r->depth)
		return fail(r, r->p, "a ')' without its '('");
	r->p++;
	int weight = r->groups[r->depth--].most;
	put(r, weight);
	return true;
}

/* "(?i)", "(?i-s:", "(?P<name>". */
static bool read_flags(struct parse *r)
{
	const char *start = r->p, *p = r->p + 2;
	if (p[0] == 'P' && p[1] == '<') {
		const char *name = p + 2;
		for (p = name; is_word((unsigned char)*p) || (unsigned char)*p >= 0x80; p++)
			;
		r->p = p + 1;
		return *p == '>' && p > name ? open_group(r, start) : fail(r, start, "a group's name is letters, digits and '_' in '<' and '>'");
	}
	bool negated = false, flag = false;
	for (; *p && strchr("imsU-", *p) && !(*p == '-' && negated); p++) {
		negated |= *p == '-';
		flag = *p != '-';
	}
	if ((*p != ':' && *p != ')') || (negated && !flag))
		return fail(r, start, p == start + 2 && (*p == '=' || *p == '!' || *p == '<') ? "looking ahead and behind is not supported" : "there is no such '(?'");
	r->p = p + 1;
	return *p == ')' || open_group(r, start);
}

/* ---- repetition ------------------------------------------------------------------------------------------------------- */

/* "{2}", "{2,}", "{2,5}"; anything else is text. -1: no upper bound. */
static bool read_bounds(const char **p, long *ret_low, long *ret_high)
{
	char *end;
	const char *q = *p + 1;
	if (*q < '0' || *q > '9' || (*q == '0' && q[1] >= '0' && q[1] <= '9'))
		return false;
	*ret_low = *ret_high = strtol(q, &end, 10);
	if (end - q > 9)
		return false;
	if (*end == ',') {
		q = end + 1;
		*ret_high = -1;
		if (*q >= '0' && *q <= '9' && !(*q == '0' && q[1] >= '0' && q[1] <= '9'))
			*ret_high = strtol(q, &end, 10);
		else
			end++;
		if (end - q > 9)
			return false;
	}
	*p = end + 1;
	return *end == '}';
}

/* `repeated`: what stands before is a repetition itself. */
static bool repeat(struct parse *r, const char *at, bool repeated, long low, long high)
{
	struct group *g = &r->groups[r->depth];
	long times = high < 0 ? low : high;
	r->p += *r->p == '?';
	if (repeated)
		return fail(r, at, "a repetition cannot be repeated: put '(' and ')' around it");
	if ((high >= 0 && high < low) || low > REPEAT_MAX || high > REPEAT_MAX)
		return fail(r, at, "a repetition has at most 1000 times, the lower bound first");
	if (!g->has_last)
		return fail(r, at, "there is nothing here that could be repeated");
	if (times > 0)
		g->last = g->last > REPEAT_MAX ? g->last : (int)(g->last * times);
	if (times >= 2 && g->last > REPEAT_MAX)
		return fail(r, at, "repetitions in each other make more than 1000 times");
	g->most = g->most > g->last ? g->most : g->last;
	return true;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static bool read_backslash(struct parse *r)
{
	bool is;
	int32_t character;
	const char *quoted = r->p + 2;
	if (r->p[1] == 'Q') {
		const char *end = strstr(quoted, "\\E");
		r->p = end ? end + 2 : quoted + strlen(quoted);
		if (end ? end > quoted : *quoted)
			put(r, 1);
		return true;
	}
	bool good = true;
	if ((r->p[1] && strchr("bBAzC", r->p[1])) || is_perl_class(r->p))
		r->p += 2;
	else if ((good = read_unicode(r, &is)) && !is)
		good = read_escape(r, &character);
	put(r, 1);
	return good;
}

static bool read_one(struct parse *r, bool *repeated)
{
	const char *start = r->p;
	bool before = *repeated;
	long low = 0, high = -1;
	*repeated = false;
	switch (*r->p) {
	case '(': return r->p[1] == '?' ? read_flags(r) : (r->p++, open_group(r, start));
	case ')': return close_group(r);
	case '\\': return read_backslash(r);
	case '|':
		r->p++;
		r->groups[r->depth].has_last = false;
		return true;
	case '[': put(r, 1); return read_class(r);
	case '*':
	case '+':
	case '?':
		r->p++;
		*repeated = true;
		return repeat(r, start, before, 0, -1);
	case '{':
		if (read_bounds(&r->p, &low, &high)) {
			*repeated = true;
			return repeat(r, start, before, low, high);
		}
		break;
	default: break;
	}
	r->p = start;
	next_character(&r->p);
	put(r, 1);
	return true;
}

bool sl_regex_valid(const char *pattern, const char **ret_problem, size_t *ret_at)
{
	struct parse r = {.text = pattern, .p = pattern, .groups[0].most = 1};
	bool repeated = false, good = true;
	while (good && *r.p)
		good = read_one(&r, &repeated);
	if (good && r.depth)
		good = fail(&r, pattern + r.groups[r.depth].at, "the '(' is not closed");
	*ret_problem = r.problem;
	*ret_at = r.at;
	return good;
}
