"""Makes chat.json of this folder: python make.py

Needs Jinja (made with the version that chat.json names), set up as transformers sets it up for chat templates. Renders
the templates of this folder over conversations, and many small expressions, and records text or refusal.
"""
import datetime, json, os
import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2 import nodes

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2025, 3, 7, 9, 5, 1)


class Generation(Extension):
    """{% generation %} marks what the model said; the text is unchanged."""
    tags = {"generation"}
    def parse(self, parser):
        lineno = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True)).set_lineno(lineno)


def environment():
    def raise_exception(message): raise jinja2.exceptions.TemplateError(message)
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    e = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    e.filters["tojson"] = tojson
    e.globals["raise_exception"] = raise_exception
    e.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return e


USER = {"role": "user", "content": "  Hi, who are you? \"Quote\" <b>&amp;</b>\n"}
CONVERSATIONS = {
    "one": [USER],
    "turns": [USER, {"role": "assistant", "content": "I am Nibble. "}, {"role": "user", "content": "Schön! 你好 🎉"}],
    "system": [{"role": "system", "content": " Be brief. "}, USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}, {"role": "user", "content": "Go on"}],
    "ends": [USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}],
    "tools": [{"role": "system", "content": "Use tools."}, {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "abc123def", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo", "days": 2, "metric": True, "note": None, "list": [1, 2.5, "ü"]}}}]},
        {"role": "tool", "tool_call_id": "abc123def", "content": "{\"temp\": -3.5}"}, {"role": "assistant", "content": "It is cold."}, {"role": "user", "content": "Thanks"}],
    "twotools": [{"role": "user", "content": "Both"},
        {"role": "assistant", "content": "Let me see", "tool_calls": [{"id": "123456789", "type": "function", "function": {"name": "a", "arguments": {}}}, {"id": "abcdefghi", "type": "function", "function": {"name": "b", "arguments": {"x": "1"}}}]},
        {"role": "tool", "content": "one", "tool_call_id": "123456789"}, {"role": "tool", "content": "two", "tool_call_id": "abcdefghi"}],
    "parts": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]}],
    "badorder": [USER, USER],
    "empty": [],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "description": "Where, e.g. \"Zürich\""}, "days": {"type": "integer", "default": 1}, "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "tags": {"type": "array", "items": {"type": "string"}}, "grid": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "nullable": True},
        "place": {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}, "required": ["lat"]}, "any": {"oneOf": [{"type": "string", "default": "x"}, {"type": "boolean", "description": "or a flag"}]},
        "either": {"type": ["string", "null"]}}}, "return": {"type": "string"}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
]
EXTRAS = [{}, {"enable_thinking": False, "date_string": "1 Jan 2025", "reasoning_effort": "high", "tools_in_user_message": False, "default_system_message": "Short!", "builtin_tools": ["code_interpreter", "get_weather"]}]

VARIABLES = {"a": 7, "b": 3, "f": 2.5, "s": "Hello World", "u": "héLLo ǆ ß", "e": "", "l": [3, 1, 2], "d": {"x": 1, "y": [1, 2], "z": None}, "n": None, "t": True, "no": False,
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cy", "age": 30, "tags": []}], "html": "<a href='x'>&</a>", "multi": "one\n  two\n\nthree", "deep": {"a": {"b": {"c": [10, {"k": "v"}]}}}}

SNIPPETS = r"""
{{ a + b }} {{ a - b }} {{ a * b }} {{ a / b }} {{ a // b }} {{ a % b }} {{ a ** b }} {{ -a // b }} {{ -a % b }} {{ a / 7 }} {{ 2 ** -1 }} {{ -2 ** 2 }}
{{ 1.0 }} {{ 1e3 }} {{ 1e16 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 1.5e300 * 1e10 }} {{ 100000.0 * 1000 }} {{ 3.0 // 2 }} {{ 7.5 % 2 }} {{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }}
{{ a == 7 }} {{ a != b }} {{ a < b }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == none }} {{ true == 1 }} {{ '1' == 1 }}
{{ s ~ ' ' ~ a ~ none ~ true ~ 1.50 ~ l }} {{ 'x' * 3 }} {{ [1] * 2 + [2] }} {{ 'ab' 'cd' }}
{{ 1 in l }} {{ 9 not in l }} {{ 'x' in d }} {{ 'ell' in s }} {{ not 1 in l }} {{ not no and t or no }} {{ e or 'default' }} {{ n and 1 }} {{ 1 and 'z' }}
{{ 'yes' if t else 'no' }}{{ 'x' if no }}|{{ (1 if no else 2 if no else 3) }}
{{ l }} {{ d }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ ['a', "b'c", 'd"e', 'q\'"', '\n\t\\', 'é\u0001'] }} {{ {'k': [none, true, 1.5]} }} {{ n }} {{ t }}
{{ s[0] }} {{ s[-1] }} {{ s[1:3] }} {{ s[:-2] }} {{ s[::-1] }} {{ s[::2] }} {{ l[1:] }} {{ l[::-1] }} {{ l[-2:] }} {{ l[5:] }} {{ l[:100] }} {{ s[10:2] }} {{ s[8:2:-2] }}
{{ d.x }} {{ d['x'] }} {{ d.y[1] }} {{ d.missing }}|{{ d['missing'] }}|{{ missing }}|{{ l[10] }}|{{ deep.a.b.c[1].k }} {{ deep['a'].b['c'][0] }} {{ people[0].name }} {{ people.0.name }}
{{ missing.attr }}
{{ missing[0] }}
{{ missing() }}
{{ missing + 1 }}
{{ missing is defined }} {{ a is defined }} {{ missing is undefined }} {{ d.missing is defined }} {{ missing|default('D') }} {{ e|default('D') }} {{ e|default('D', true) }} {{ n|default('D') }} {{ n|d('D', boolean=true) }} {{ missing == missing2 }} {{ missing is none }} {{ missing or 'x' }} {{ not missing }} {{ missing|length }} {{ missing|list }}
{{ a is number }} {{ f is float }} {{ a is integer }} {{ t is integer }} {{ t is number }} {{ t is boolean }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ d is sequence }} {{ s is sequence }} {{ l is iterable }} {{ a is iterable }} {{ s is iterable }} {{ n is none }} {{ t is true }} {{ no is false }} {{ 1 is true }} {{ a is odd }} {{ a is even }} {{ a is divisibleby 7 }} {{ a is divisibleby(2) }}
{{ a is eq 7 }} {{ a is equalto(7) }} {{ a is ne 7 }} {{ a is gt 3 }} {{ a is lt 3 }} {{ a is ge 7 }} {{ a is le 6 }} {{ 1 is in l }} {{ 9 is not in l }} {{ s is lower }} {{ 'ABC' is upper }} {{ a is not none }} {{ d is callable }} {{ range is callable }} {{ a is sameas a }} {{ 'trim' is filter }} {{ 'odd' is test }} {{ l is not string }} {{ l is not string and l is iterable }}
{{ s|upper }} {{ s|lower }} {{ u|capitalize }} {{ 'hello wORLD foo-bar (baz)'|title }} {{ '  x '|trim }}| {{ 'xxaxx'|trim('x') }} {{ s|length }} {{ l|count }} {{ d|length }} {{ s|replace('l', 'L') }} {{ s|replace('l', 'L', 2) }} {{ s|reverse }} {{ l|reverse|list }} {{ s|first }} {{ l|last }} {{ l|first }} {{ []|first }}|{{ []|last }}
{{ l|join }} {{ l|join(', ') }} {{ people|join(', ', attribute='name') }} {{ ['a', 1, none]|join('-') }} {{ l|sort }} {{ l|sort(reverse=true) }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ people|sort(attribute='age')|map(attribute='name')|list }} {{ l|sum }} {{ people|sum(attribute='age') }} {{ l|min }} {{ l|max }} {{ [1, 1, 2]|unique|list }} {{ ['a', 'A']|unique|list }}
{{ d|items|list }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ d|list }} {{ d.get('x') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d|dictsort }} {{ {'b': 1, 'A': 2}|dictsort }} {{ {'b': 1, 'A': 2}|dictsort(by='value', reverse=true) }} {{ missing|items|list }}
{{ people|selectattr('age', 'equalto', 30)|map(attribute='name')|list }} {{ people|selectattr('tags', 'defined')|list|length }} {{ people|selectattr('tags')|map(attribute='name')|join }} {{ people|rejectattr('age', 'gt', 26)|map(attribute='name')|list }} {{ people|rejectattr('tags')|map(attribute='name')|list }} {{ l|select('gt', 1)|list }} {{ l|reject('odd')|list }} {{ l|select|list }} {{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1]|reject|list }}
{{ l|map('string')|list }} {{ ['a', 'b']|map('upper')|join(',') }} {{ people|map(attribute='tags', default='none')|list }} {{ ['a b', 'c d']|map('replace', ' ', '_')|list }} {{ people|map(attribute='missing')|list }} {{ [[1, 2], [3]]|map('length')|list }} {{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }}
{{ a|string + 'x' }} {{ '42'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ '3.7'|float }} {{ '3.7'|int }} {{ 3.99|int }} {{ 'ff'|int(0, 16) }} {{ 'x'|float(1.5) }} {{ 2.567|round }} {{ 2.567|round(2) }} {{ 2.5|round }} {{ 2.567|round(1, 'floor') }} {{ 2.1|round(0, 'ceil') }} {{ -5|abs }} {{ 7|round }} {{ a|list if no else 'L' }} {{ 'abc'|list }} {{ true|int }} {{ 1e3|int }}
{{ d|tojson }} {{ l|tojson(indent=2) }} {{ {'a': {}, 'b': [], 'c': {'d': [1, {'e': 2}]}}|tojson(indent=4) }} {{ html|tojson }} {{ u|tojson }} {{ 'é"\\\n\t\u0001/'|tojson }} {{ 1.0|tojson }} {{ 1e22|tojson }} {{ 'é'|tojson(ensure_ascii=true) }} {{ '😀'|tojson(ensure_ascii=true) }} {{ d|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ n|tojson }} {{ t|tojson }} {{ {1: 2, 'n': 3, true: 4}|tojson }} {{ (1, 2)|tojson }}
{{ missing|tojson }}
{{ html|safe }} {{ html|escape }} {{ html|e }} {{ multi|indent }} {{ multi|indent(2, true) }} {{ multi|indent(2, blank=true) }} {{ multi|indent('> ', first=true) }} {{ 'a,b'|replace(',', ';') }}
{{ '  a b '.strip() }}|{{ 'xxaxx'.strip('x') }} {{ '  a'.lstrip() }} {{ 'a\n\n'.rstrip('\n') }} {{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b'.split(' ')[-1] }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('c') }} {{ 'abc'.upper() }} {{ 'ABC'.lower() }} {{ "they're bill's".title() }} {{ 'abc'.capitalize() }}
{{ 'abcabc'.replace('b', 'X') }} {{ 'abcabc'.replace('b', 'X', 1) }} {{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ 'abcab'.count('ab') }} {{ 'abc'.index('b') }} {{ '-'.join(['a', 'b']) }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'AbC'.islower() }} {{ 'ABC'.isupper() }} {{ l.index(2) }} {{ l.count(3) }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }} {{ loop.previtem }}<{{ loop.nextitem }};{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}={{ x }} {% else %}none{% endfor %} {% for x in [] %}{{ x }}{% else %}empty{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for c in 'añ😀' %}{{ c }}.{% endfor %}
{% for x in range(3) %}{% for y in range(x) %}{{ loop.depth }}{{ x }}{{ y }} {% endfor %}{% endfor %} {% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %} {{ range(2, 8, 3)|list }} {{ range(3, 0, -1)|list }} {% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }} {% if true %}{% set x = 2 %}{% endif %}{{ x }} {% set ns = namespace(v=0) %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }} {% set p, q = 1, 2 %}{{ p }}{{ q }} {% set block %}in {{ x }}{% endset %}{{ block|upper }} {% set up | upper %}abc{% endset %}{{ up }} {% set (m, k) = (1, [2]) %}{{ k }}
{% for i in l %}{{ y is defined }}{% set y = i %}{{ y }} {% endfor %}{{ y is defined }}
{% set o = namespace(a=1) %}{{ o.a }}{{ o.c is defined }}{% set o.c = 3 %}{{ o.c }}{{ o['a'] }}
{% macro m(x, y=2, z='d') %}{{ x }}-{{ y }}-{{ z }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, z=5) }} {{ m(x=9) }} {{ m() }} {{ m(1)|upper }} {{ m(1) + '!' }} {{ m.name }}
{% macro outer(x) %}<{{ inner(x) }}>{% endmacro %}{% macro inner(x) %}{{ x }}{% if x > 0 %}{{ inner(x - 1) }}{% endif %}{% endmacro %}{{ outer(2) }} {% macro w() %}{{ a }}{{ hidden is defined }}{% endmacro %}{% set hidden = 1 %}{{ w() }}
{% macro a2(x=missing, y=x) %}{{ x is defined }}{{ y is defined }}{% endmacro %}{{ a2() }}{{ a2(1) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1, 2) }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m(q=2) }}
{% filter upper %}abc {{ s }}{% endfilter %} {% with x = 5, y = 6 %}{{ x }}{{ y }}{% endwith %}{{ x is defined }} {% raw %}{{ not }} {% rendered %}{% endraw %} {# comment {{ x }} #}after {% if no %}a{% elif a == 7 %}b{% else %}c{% endif %} {% if e %}x{% elif l %}y{% endif %} {% if [] or {} or '' or 0 or none %}x{% else %}falsy{% endif %}
{%- if t -%}   trimmed   {%- endif -%}   {{- ' a ' -}}   {{ 'b' }}  {%+ if t %} plus {% endif +%}  x
   {% if t %}   
  lstrip
   {% endif %}   
 end {# comment #}   
   {# alone #}   
next {{ a }}
{{ '\u00e9 \x41 \t| \' \" \\ \q \101' }} {{ "a\
b" }} {{ 'line
break' }}
{{ s.__class__ }}
{{ d.update({'q': 1}) }}
{{ l.append(4) }}
{{ l.append }}
{{ raise_exception('My ' ~ 'message') }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %y %I %p %e %% %-d %-m') }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ 'a' ~ 1 + 2 }}
{{ {}.get() }}
{{ [1,2]|first|upper }}{{ 5|trim }}{{ none|trim }}{{ l|trim }}
{{ 1 + none }}
{{ s.nomethod() }}
{{ s|nofilter }}
{{ s is notest }}
{{ l[0 }}
{% if a %}unclosed
{% endfor %}
{% for x in 5 %}{% endfor %}
{{ 'unterminated }}
{% unknown %}
{{ [1, 2, 3][1:]|map('string')|join('+') }} {{ (a, b)|max }} {{ {'a': 1}.a }} {{ [d, d]|length }} {{ a if a > b else b }} {{ ((a + b) * 2)|string|length }} {{ not (a > b) }} {{ -a }} {{ +a }} {{ - -a }} {{ l|length > 2 and l|first == 3 }} {{ a > b == true }} {{ 1 + 2 ~ 'a' }} {{ 2 * 3 ~ 4 }} {{ 1 if 2 > 1 and not false else 0 }} {{ 5 - 3 - 1 }} {{ 2 ** 3 ** 2 }} {{ 'x' is string and 'y' }} {{ a|string|length + 1 }} {{ -1|abs }} {{ 10 // 3 * 3 }}
{{ dict(a=1, b=2) }} {{ dict(a=1).a }} {{ dict([('k', 'v')]) }}
{{ true + 1 }} {{ true|string }} {{ [true, none, 'x']|string }} {{ 1 == true }} {{ {1: 'a'}[1] }} {{ {1: 'a'}[true] }} {{ [1, [2, [3]]]|string }} {{ 'a' in ['a'] and 'b' not in ['a'] }} {{ ('a') }} {{ 'é'|length }} {{ '😀'|length }} {{ '😀x'[1] }} {{ '😀x'[::-1] }}
{{ people|map(attribute='name')|map('lower')|sort|join(' ') }} {{ people[1:]|map(attribute='age')|sum }} {{ people|selectattr('name', 'in', ['Ann', 'Cy'])|list|length }} {{ people|map('tojson')|join('\n') }} {{ (people|first).name }} {{ (people|selectattr('age', 'lt', 30)|first).name }} {{ people|length - 1 }} {{ people[people|length - 1].name }} {{ people|last|tojson }} {{ people | map(attribute='age') | unique | list }} {{ people|list == people }}
{% set x = namespace(items=[]) %}{% for p in people %}{% set x.items = x.items + [p.name] %}{% endfor %}{{ x.items }} {{ x.items|length }}
{% for p in people %}{% if loop.previtem is defined and loop.previtem.age == p.age %}same{% endif %}{% if not loop.last %}{{ loop.nextitem.name }}{% endif %}{% endfor %} {% for p in people|sort(attribute='name', case_sensitive=true) %}{{ p.name }}{% endfor %} {% for p in people|rejectattr('age', 'equalto', 25) %}{{ loop.index }}{{ p.name }}{% endfor %} {% for k, v in d|items %}{{ k }}{% endfor %} {% for k, v in d|dictsort %}{{ k }}{% endfor %}
{{ s | replace("World", "W") | trim | lower }} {{ "a" if "b" in "abc" else "c" }} {{ ['x', 'y'] | join(sep) if sep is defined else 'nosep' }} {{ d['y']|length }} {{ d["y"][-1] }} {{ s.split(' ')[0].lower() }} {{ s.split()|last }} {{ (s ~ '!').endswith('!') }} {{ s[:5] + s[5:]|upper }} {{ ("a" "b")|length }}
""".strip("\n")


def snippets():
    # Cases are lines; those of several lines are kept together here.
    lines, joined = SNIPPETS.split("\n"), []
    starts = ("{%- if t -%}", "   {% if t %}", "{{ '\\u00e9")
    skip = 0
    for i, line in enumerate(lines):
        if skip: skip -= 1; continue
        n = 6 if line.startswith("   {% if t %}   ") else 3 if line.startswith("{{ '\\u00e9") else 1
        joined.append("\n".join(lines[i:i + n]))
        skip = n - 1
    return joined


def render(template, variables):
    try:
        return {"text": environment().from_string(template).render(**variables)}
    except jinja2.exceptions.TemplateError as e:
        return {"error": str(e), "kind": type(e).__name__}
    except Exception as e:
        return {"error": str(e), "kind": type(e).__name__}


if __name__ == "__main__":
    cases = []
    for name in sorted(f for f in os.listdir(HERE) if f.endswith(".jinja")):
        template = open(f"{HERE}/{name}", encoding="utf-8").read()
        for conversation, messages in CONVERSATIONS.items():
            for tools in (None, TOOLS):
                if tools and conversation in ("turns", "ends", "parts", "badorder"): continue
                for number, extra in enumerate(EXTRAS):
                    for add in ((True, False) if number == 0 else (True,)):
                        variables = {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": add, "bos_token": "<s>", "eos_token": "</s>", **extra}
                        cases.append({"template": name, "conversation": conversation, "tools": bool(tools), "extra": number, "add": add, **render(template, variables)})
    small = [{"source": source, **render(source, VARIABLES)} for source in snippets()]
    with open(f"{HERE}/chat.json", "w", encoding="utf-8") as f:
        json.dump({"jinja": jinja2.__version__, "conversations": CONVERSATIONS, "tools": TOOLS, "extras": EXTRAS, "cases": cases, "variables": VARIABLES, "snippets": small}, f, ensure_ascii=False, separators=(",", ":"))
