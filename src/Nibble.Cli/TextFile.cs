using System.Text;
using Nibble.Core;

namespace Nibble.Cli;

/// <summary>The text to measure with: a file, or the one that ships with the program.</summary>
internal static class TextFile
{
    private const long Largest = 1L << 30;

    /// <exception cref="UnusableInputException">There is no such file, or it is no UTF-8 text.</exception>
    public static string Read(string? path)
    {
        path ??= ModelPath.Find("models", "text", "eval.txt")
            ?? throw new UnusableInputException("the bundled text models/text/eval.txt was not found near the program; name one with --text");
        var file = new FileInfo(path);
        if (!file.Exists) throw new UnusableInputException($"{path}: there is no such file; --text takes a UTF-8 text");
        if (file.Length > Largest) throw new UnusableInputException($"{path}: a text of {file.Length} bytes is too long; at most {Largest} are read");
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(File.ReadAllBytes(path)).TrimStart('\uFEFF');
        }
        catch (DecoderFallbackException e)
        {
            throw new UnusableInputException($"{path}: is not UTF-8 text (byte {e.Index}); convert it first", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }
}
