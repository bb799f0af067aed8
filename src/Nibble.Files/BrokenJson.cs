using System.Text.Json;
using Nibble.Core;

namespace Nibble.Files;

/// <summary>What is said of a file that should be JSON and is not.</summary>
public static class BrokenJson
{
    /// <summary>The file, the line, the cause and the remedy.</summary>
    /// <param name="file">Its path.</param>
    /// <param name="e">What the reader found.</param>
    public static UnusableInputException Of(string file, JsonException e)
    {
        // The place stands behind the cause, and would be all that is left of a long one whose middle is cut out.
        string where = e.LineNumber is { } line ? $" at line {line + 1}" : "", cause = e.Message.Split(" LineNumber:")[0];
        return new UnusableInputException($"{file}: is not JSON{where}: {Quote.Name(cause)}; correct it, or fetch it again", e);
    }
}
