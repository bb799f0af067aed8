using System.Text;
using System.Text.Json;
using Nibble.Core;
using Nibble.Models.Chat.Jinja;

namespace Nibble.Models.Chat;

/// <summary>
/// Turns a conversation into the text that a model was trained on, by the model's own template: the part of Jinja that
/// published templates use, with the settings that transformers gives it.
/// </summary>
/// <remarks>No .NET library of Jinja is AOT-safe and follows Python down to str() and json.dumps, on which models depend.</remarks>
public sealed class ChatTemplate
{
    private readonly Body _body;
    private readonly string _place;

    /// <param name="source">The template.</param>
    /// <param name="place">Where it comes from, for messages.</param>
    /// <exception cref="UnusableInputException">It is wrong, or uses something that is not supported.</exception>
    public ChatTemplate(string source, string place)
    {
        ArgumentNullException.ThrowIfNull(source);
        _place = place;
        _body = Guarded(0, () => TemplateParser.Parse(source));
    }

    /// <summary>For strftime_now.</summary>
    public Func<DateTime> Clock { get; init; } = () => DateTime.Now;

    /// <summary>The text of a conversation.</summary>
    /// <param name="messages">The turns so far.</param>
    /// <param name="addGenerationPrompt">Whether to open the assistant's next turn.</param>
    /// <param name="bos">The text of the token that begins a text, or nothing.</param>
    /// <param name="eos">The text of the token that ends a text, or nothing.</param>
    /// <exception cref="UnusableInputException">The template refuses the conversation or fails on it.</exception>
    public string Render(IEnumerable<ChatMessage> messages, bool addGenerationPrompt = true, string bos = "", string eos = "")
    {
        List<object?> turns = [.. messages.Select(m => new JinjaDict { ["role"] = m.Role, ["content"] = m.Content })];
        return Render(turns, null, addGenerationPrompt, bos, eos, default);
    }

    /// <summary>The text of a conversation in the form of the chat completion interface: parts, tool calls and all.</summary>
    /// <param name="messages">A list of objects with role, content, tool_calls and so on.</param>
    /// <param name="tools">A list of function descriptions, or nothing.</param>
    /// <param name="addGenerationPrompt">Whether to open the assistant's next turn.</param>
    /// <param name="bos">The text of the token that begins a text, or nothing.</param>
    /// <param name="eos">The text of the token that ends a text, or nothing.</param>
    /// <param name="variables">An object of further names for the template: enable_thinking, reasoning_effort and so on.</param>
    /// <exception cref="UnusableInputException">The template refuses the conversation or fails on it.</exception>
    public string Render(JsonElement messages, JsonElement? tools, bool addGenerationPrompt = true, string bos = "", string eos = "", JsonElement variables = default)
    {
        if (messages.ValueKind != JsonValueKind.Array) throw new UnusableInputException($"{_place}: the messages must be a list");
        return Render(JsonText.Parse(messages), tools is { } list ? JsonText.Parse(list) : null, addGenerationPrompt, bos, eos, variables);
    }

    private string Render(object? messages, object? tools, bool addGenerationPrompt, string bos, string eos, JsonElement variables)
    {
        var run = new Run(Clock());
        var scope = new Scope(null, run);
        scope.Set("messages", messages);
        scope.Set("tools", tools);
        scope.Set("documents", null);
        scope.Set("add_generation_prompt", addGenerationPrompt);
        scope.Set("bos_token", bos);
        scope.Set("eos_token", eos);
        if (variables.ValueKind == JsonValueKind.Object)
            foreach (JsonProperty property in variables.EnumerateObject()) scope.Set(property.Name, JsonText.Parse(property.Value));
        return Render(scope, run);
    }

    internal string Render(Scope scope, Run run)
    {
        var text = new StringBuilder();
        Guarded(() => run.Line, () => _body.Render(scope, text));
        return text.ToString();
    }

    private T Guarded<T>(int line, Func<T> action) => Guarded(() => line, action);

    private T Guarded<T>(Func<int> line, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (JinjaException e)
        {
            string message = e.Message.ReplaceLineEndings(" ");
            if (e.Refused) throw new UnusableInputException($"{_place}: the chat template refuses this conversation: {message}", e);
            int at = e.Line > 0 ? e.Line : line();
            throw new UnusableInputException($"{_place}: the chat template fails{(at > 0 ? $" at line {at}" : "")}: {message}", e);
        }
        catch (OverflowException e)
        {
            throw new UnusableInputException($"{_place}: the chat template fails{(line() > 0 ? $" at line {line()}" : "")}: a number passes 64 bits", e);
        }
        catch (InsufficientExecutionStackException e)
        {
            throw new UnusableInputException($"{_place}: the chat template is nested too deeply", e);
        }
    }
}
