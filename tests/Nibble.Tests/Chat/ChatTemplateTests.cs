using System.Runtime.CompilerServices;
using System.Text.Json;
using Nibble.Core;
using Nibble.Models.Chat;
using Nibble.Models.Chat.Jinja;

namespace Nibble.Tests.Chat;

/// <summary>Templates against Jinja itself, set up as transformers sets it up; Golden/chat/make.py says how the data was made.</summary>
public class ChatTemplateTests
{
    private static readonly string Golden = Path.Combine(Folder(), "..", "Golden", "chat");
    private static readonly JsonElement Data = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Golden, "chat.json"))).RootElement;

    private static readonly DateTime Now = new(2025, 3, 7, 9, 5, 1);

    public static TheoryData<string> Templates => new(Directory.GetFiles(Golden, "*.jinja").Select(f => Path.GetFileName(f)));

    [Theory, MemberData(nameof(Templates))]
    public void Templates_of_published_models_render_as_in_jinja(string name)
    {
        var template = new ChatTemplate(File.ReadAllText(Path.Combine(Golden, name)), name) { Clock = () => Now };
        int cases = 0;
        foreach (JsonElement golden in Data.GetProperty("cases").EnumerateArray())
        {
            if (golden.GetProperty("template").GetString() != name) continue;
            cases++;
            string conversation = golden.GetProperty("conversation").GetString()!;
            JsonElement messages = Data.GetProperty("conversations").GetProperty(conversation);
            JsonElement? tools = golden.GetProperty("tools").GetBoolean() ? Data.GetProperty("tools") : null;
            JsonElement extra = Data.GetProperty("extras")[golden.GetProperty("extra").GetInt32()];
            string Render() => template.Render(messages, tools, golden.GetProperty("add").GetBoolean(), "<s>", "</s>", extra);
            if (golden.TryGetProperty("text", out JsonElement text)) Assert.Equal(text.GetString(), Render());
            else Refused(golden, Assert.Throws<UnusableInputException>(Render));
        }
        Assert.InRange(cases, 20, 100);
    }

    [Fact]
    public void Expressions_and_statements_mean_what_they_mean_in_jinja()
    {
        var wrong = new List<string>();
        foreach (JsonElement golden in Data.GetProperty("snippets").EnumerateArray())
        {
            string source = golden.GetProperty("source").GetString()!;
            try
            {
                string actual = Render(source);
                if (!golden.TryGetProperty("text", out JsonElement text)) wrong.Add($"{source}\n  gives '{actual}' rather than the error {golden.GetProperty("error")}");
                else if (text.GetString() != actual) wrong.Add($"{source}\n  gives    '{actual}'\n  not      '{text.GetString()}'");
            }
            catch (UnusableInputException e)
            {
                if (golden.TryGetProperty("text", out JsonElement text)) wrong.Add($"{source}\n  fails ({e.Message}) rather than giving '{text}'");
                else Refused(golden, e);
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void A_conversation_needs_no_json()
    {
        var template = new ChatTemplate("{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}", "x");
        Assert.Equal("[user] Hi</s>[assistant]", template.Render([new ChatMessage("user", "Hi")], eos: "</s>"));
        Assert.Equal("[user] Hi", template.Render([new ChatMessage("user", "Hi")], addGenerationPrompt: false));
    }

    [Theory]
    [InlineData("{% for i in range(100000) %}{% for j in range(100000) %}{% set x = 1 %}{% endfor %}{% endfor %}", "does not come to an end")]
    [InlineData("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply")]
    [InlineData("{{ 'x' * 1000000000 }}", "grows past")]
    [InlineData("{{ [1] * 1000000000 }}", "grows past")]
    [InlineData("{% set ns = namespace(v=[1]) %}{% for i in range(60) %}{% set ns.v = ns.v + ns.v %}{% endfor %}", "grows past")]
    [InlineData("{% set ns = namespace(v=(1,)) %}{% for i in range(60) %}{% set ns.v = ns.v + ns.v %}{% endfor %}", "grows past")]
    [InlineData("{% set ns = namespace(v='x') %}{% for i in range(60) %}{% set ns.v = ns.v ~ ns.v %}{% endfor %}", "grows past")]
    [InlineData("{% set ns = namespace(v='x') %}{% for i in range(60) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}{{ ns.v }}", "grows past")]
    [InlineData("{% set ns = namespace(v='x') %}{% for i in range(60) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}{{ ns.v|tojson }}", "grows past")]
    [InlineData("{{ (['x' * 10000000] * 100)|join }}", "grows past")]
    [InlineData("{{ ('x' * 10000000).replace('x', 'x' * 10000000) }}", "grows past")]
    [InlineData("{% set ns = namespace(v=[]) %}{% for i in range(100000) %}{% set ns.v = [ns.v] %}{% endfor %}{{ ns.v }}", "nested too deeply")]
    [InlineData("{% set a = namespace(v=[]) %}{% set b = namespace(v=[]) %}{% for i in range(100000) %}{% set a.v = [a.v] %}{% set b.v = [b.v] %}{% endfor %}{{ a.v == b.v }}", "nested too deeply")]
    [InlineData("{% set a = namespace(v=[]) %}{% set b = namespace(v=[1]) %}{% for i in range(100000) %}{% set a.v = [a.v] %}{% set b.v = [b.v] %}{% endfor %}{{ [a.v, b.v]|sort }}", "nested too deeply")]
    [InlineData("{{ range(1000000000) }}", "more than 100000 numbers")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "passes 64 bits")]
    [InlineData("{{ 9999999999999999999 }}", "passes 64 bits")]
    [InlineData("{{ 2 ** 100 }}", "passes 64 bits")]
    [InlineData("{{ (-9223372036854775807 - 1) // -1 }}", "passes 64 bits")]
    [InlineData("{% include 'x' %}", "the statement 'include' is not supported")]
    [InlineData("{{ x|groupby('a') }}", "the filter 'groupby' is not supported")]
    [InlineData("text\n{{ 1 +\n}}", "at line 3: an expression is missing")]
    [InlineData("text\n\n{{ missing.x }}", "at line 3: 'missing' is undefined")]
    public void A_hostile_or_broken_template_is_one_line(string source, string message)
    {
        string actual = Assert.Throws<UnusableInputException>(() => Render(source)).Message;
        Assert.Contains(message, actual);
        Assert.DoesNotContain('\n', actual);
    }

    [Theory, InlineData("("), InlineData("["), InlineData("{'a':"), InlineData("not "), InlineData("-"), InlineData("x if x else "), InlineData("m(")]
    public void Deep_nesting_is_an_error_not_a_crash(string opening) =>
        Assert.Throws<UnusableInputException>(() => Render("{{ " + string.Concat(Enumerable.Repeat(opening, 100_000)) + " }}"));

    [Theory]
    [InlineData("{{ [1, 2, 3][1::9223372036854775807] }}", "[2]")]
    [InlineData("{{ [1, 2, 3][-1::-9223372036854775807] }}", "[3]")]
    [InlineData("{{ 'a,b'.split(',', 9223372036854775807) }}", "['a', 'b']")]
    public void Numbers_as_large_as_they_can_be_are_numbers(string source, string text) => Assert.Equal(text, Render(source));

    [Fact]
    public void Long_chains_of_filters_are_an_error_at_worst() =>
        Assert.Contains("nested too deeply", Assert.Throws<UnusableInputException>(
            () => Render("{% set x" + string.Concat(Enumerable.Repeat("|trim", 500_000)) + " %}x{% endset %}")).Message, StringComparison.Ordinal);

    [Fact]
    public void Long_chains_are_an_error_at_worst()
    {
        string chain = "{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 100_000)) + " }}";
        try
        {
            Assert.Equal("100001", Render(chain));
        }
        catch (UnusableInputException e)
        {
            Assert.Contains("nested too deeply", e.Message);
        }
    }

    [Fact]
    public void A_damaged_template_renders_or_is_refused_but_never_crashes()
    {
        var random = new Random(1);
        string[] sources = [.. Directory.GetFiles(Golden, "*.jinja").Select(File.ReadAllText), .. Data.GetProperty("snippets").EnumerateArray().Select(s => s.GetProperty("source").GetString()!)];
        string[] splinters = ["{{", "}}", "{%", "%}", "{#", "#}", "-", "|", "(", ")", "[", "]", ".", "'", "\"", "\\", "~", " if ", " is ", " not ", " in ", "0", "none", "loop", "\ud83d"];
        for (int i = 0; i < 3000; i++)
        {
            string source = sources[random.Next(sources.Length)];
            int at = random.Next(source.Length), length = Math.Min(random.Next(4), source.Length - at);
            source = string.Concat(source.AsSpan(0, at), random.Next(3) == 0 ? "" : splinters[random.Next(splinters.Length)], source.AsSpan(at + length));
            try
            {
                var template = new ChatTemplate(source, "template") { Clock = () => Now };
                template.Render(Data.GetProperty("conversations").GetProperty("tools"), Data.GetProperty("tools"), true, "<s>", "</s>", Data.GetProperty("variables"));
            }
            catch (UnusableInputException e)
            {
                Assert.DoesNotContain('\n', e.Message);
            }
        }
    }

    private static string Render(string source)
    {
        var template = new ChatTemplate(source, "template");
        var run = new Run(Now);
        var scope = new Scope(null, run);
        foreach (JsonProperty variable in Data.GetProperty("variables").EnumerateObject()) scope.Set(variable.Name, JsonText.Parse(variable.Value));
        return template.Render(scope, run);
    }

    private static void Refused(JsonElement golden, UnusableInputException actual)
    {
        Assert.DoesNotContain('\n', actual.Message);
        // The template's own words must reach the user.
        if (golden.GetProperty("kind").GetString() == "TemplateError") Assert.Contains(golden.GetProperty("error").GetString()!, actual.Message);
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
