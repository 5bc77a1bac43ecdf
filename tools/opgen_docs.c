/* Man pages (sluice.1, sluice-VERB.1) and completion for bash and zsh. */
#include "opgen.h"

#include <ctype.h>
#include <string.h>

/* Text for roff: a leading dot or quote and every backslash are escaped, hyphens stay hyphens. */
static void roff(FILE *out, const char *text)
{
	int start = 1;
	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		start = *text == '\n';
		if (*text == '\\')
			fputs("\\e", out);
		else if (*text == '-')
			fputs("\\-", out);
		else
			fputc(*text, out);
	}
}

static void line(FILE *out, const char *macro, const char *text)
{
	fputs(macro, out);
	roff(out, text);
	fputc('\n', out);
}

static void metavar(FILE *out, yyjson_val *arg)
{
	const char *text = spec_str(arg, "metavar"), *name = spec_str(arg, "name");
	if (*text)
		roff(out, text);
	else
		for (; *name; name++)
			fputc(*name == '-' ? '-' : toupper((unsigned char)*name), out);
}

static int is_flag(yyjson_val *arg) { return strcmp(spec_str(arg, "type"), "flag") == 0; }
static int is_option(yyjson_val *arg) { return !yyjson_obj_get(arg, "position"); }

static void synopsis(FILE *out, const struct spec *spec)
{
	size_t i, max;
	yyjson_val *arg;
	fprintf(out, ".SH SYNOPSIS\n.B sluice %s\n[options]", spec->name);
	yyjson_arr_foreach(yyjson_obj_get(spec->root, "args"), i, max, arg) {
		if (is_option(arg))
			continue;
		fputs(spec_bool(arg, "required") ? " " : " [", out);
		metavar(out, arg);
		fputs(spec_bool(arg, "rest") ? " ..." : "", out);
		fputs(spec_bool(arg, "required") ? "" : "]", out);
	}
	fputc('\n', out);
}

static void write_option(FILE *out, yyjson_val *arg)
{
	fputs(".TP\n.B ", out);
	if (is_option(arg)) {
		if (*spec_str(arg, "letter"))
			fprintf(out, "\\-%s, ", spec_str(arg, "letter"));
		fputs("\\-\\-", out);
		roff(out, spec_str(arg, "name"));
		fputc(is_flag(arg) ? '\n' : ' ', out);
	}
	if (!is_flag(arg)) {
		metavar(out, arg);
		fputc('\n', out);
	}
	line(out, "", spec_str(arg, "doc"));
	if (yyjson_obj_get(arg, "default")) {
		fputs("Default: ", out);
		line(out, "", spec_str(arg, "default"));
	}
}

static void write_page(const struct spec *spec, const char *dir, const char *version)
{
	char name[256];
	size_t i, max;
	yyjson_val *item;
	snprintf(name, sizeof name, "share/man/sluice-%s.1", spec->name);
	FILE *out = create_file(dir, name);
	fprintf(out, ".TH SLUICE\\-%s 1 \"\" \"sluice %s\"\n.SH NAME\nsluice\\-%s \\- ", spec->name, version, spec->name);
	line(out, "", spec_str(spec->root, "summary"));
	synopsis(out, spec);
	fputs(".SH DESCRIPTION\n", out);
	line(out, "", *spec_str(spec->root, "doc") ? spec_str(spec->root, "doc") : spec_str(spec->root, "summary"));
	fputs(".SH OPTIONS\n", out);
	yyjson_arr_foreach(yyjson_obj_get(spec->root, "args"), i, max, item)
		write_option(out, item);
	fputs(".TP\n.B \\-\\-json\nThe result (or the error) as one JSON object on standard output.\n"
	      ".TP\n.B \\-C DIR\nAs if started in DIR.\n.TP\n.B \\-h, \\-\\-help\nHelp with examples.\n", out);
	fputs(".SH EXAMPLES\n", out);
	yyjson_arr_foreach(yyjson_obj_get(spec->root, "examples"), i, max, item) {
		line(out, ".TP\n.B ", spec_str(item, "command"));
		line(out, "", spec_str(item, "does"));
	}
	fputs(".SH EXIT STATUS\n0 done; 1 something of the user's failed; 2 the command or project file is wrong; 3 the "
		"machine refused;\n"
	      "4 someone else holds it; 70 a bug of ours.\n.SH SEE ALSO\n.BR sluice (1)\n",
		out);
	finish_file(out, name);
}

void write_man_pages(const struct specs *specs, const char *dir, const char *version)
{
	FILE *out = create_file(dir, "share/man/sluice.1");
	fprintf(out, ".TH SLUICE 1 \"\" \"sluice %s\"\n.SH NAME\nsluice \\- from raw data to a watched model, in one program\n"
		".SH SYNOPSIS\n.B sluice VERB\n[options] [arguments]\n.SH COMMANDS\n", version);
	for (size_t i = 0; i < specs->count; i++) {
		const struct spec *spec = &specs->items[i];
		if (spec_bool(spec->root, "hidden"))
			continue;
		fprintf(out, ".TP\n.BR sluice\\-%s (1)\n", spec->name);
		line(out, "", spec_str(spec->root, "summary"));
		write_page(spec, dir, version);
	}
	finish_file(out, "share/man/sluice.1");
}

static void words(FILE *out, const struct spec *spec, const char *separator)
{
	size_t i, max, k, kmax;
	yyjson_val *arg, *choice;
	fputs("--json --help", out);
	yyjson_arr_foreach(yyjson_obj_get(spec->root, "args"), i, max, arg) {
		if (is_option(arg))
			fprintf(out, "%s--%s", separator, spec_str(arg, "name"));
		else
			yyjson_arr_foreach(yyjson_obj_get(arg, "choices"), k, kmax, choice)
				fprintf(out, "%s%s", separator, yyjson_get_str(choice));
	}
}

static void write_bash(const struct specs *specs, const char *dir)
{
	FILE *out = create_file(dir, "share/completion/sluice.bash");
	fputs("# made by tools/opgen from spec/op\n_sluice() {\n\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\" "
		"verb=\"${COMP_WORDS[1]}\" words=\"\"\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords=\"",
		out);
	for (size_t i = 0; i < specs->count; i++)
		if (!spec_bool(specs->items[i].root, "hidden"))
			fprintf(out, "%s ", specs->items[i].name);
	fputs("\"\n\telse\n\t\tcase \"$verb\" in\n", out);
	for (size_t i = 0; i < specs->count; i++) {
		if (spec_bool(specs->items[i].root, "hidden"))
			continue;
		fprintf(out, "\t\t%s) words=\"", specs->items[i].name);
		words(out, &specs->items[i], " ");
		fputs("\" ;;\n", out);
	}
	fputs("\t\tesac\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
	      "complete -o default -F _sluice sluice\n", out);
	finish_file(out, "sluice.bash");
}

/* zsh's _describe takes 'word:text'; colons, quotes and backslashes in the text would end it early. */
static void zsh_text(FILE *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else if (*text == ':')
			fputs("\\:", out);
		else
			fputc(*text, out);
}

static void write_zsh(const struct specs *specs, const char *dir)
{
	FILE *out = create_file(dir, "share/completion/_sluice");
	fputs("#compdef sluice\n# made by tools/opgen from spec/op\n_sluice() {\n\tlocal -a verbs\n\tverbs=(\n", out);
	for (size_t i = 0; i < specs->count; i++) {
		if (spec_bool(specs->items[i].root, "hidden"))
			continue;
		fprintf(out, "\t\t'%s:", specs->items[i].name);
		zsh_text(out, spec_str(specs->items[i].root, "summary"));
		fputs("'\n", out);
	}
	fputs("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n", out);
	for (size_t i = 0; i < specs->count; i++) {
		if (spec_bool(specs->items[i].root, "hidden"))
			continue;
		fprintf(out, "\t%s) compadd -- ", specs->items[i].name);
		words(out, &specs->items[i], " ");
		fputs(" ;;\n", out);
	}
	fputs("\tesac\n\t_files\n}\n_sluice \"$@\"\n", out);
	finish_file(out, "_sluice");
}

void write_completion(const struct specs *specs, const char *dir)
{
	write_bash(specs, dir);
	write_zsh(specs, dir);
}
