using System.Security.Cryptography;
using System.Text;
using Nibble.Core;

namespace Nibble.Cli;

/// <summary>The text to measure with: a file, or the one that ships with the program.</summary>
internal static class TextFile
{
    private const long Largest = 1L << 30;

    /// <param name="path">Null is the text that ships with the program.</param>
    /// <param name="option">That names the file, for messages.</param>
    /// <exception cref="UnusableInputException">There is no such file, or it is no UTF-8 text.</exception>
    public static string Read(string? path, string option = "--text")
    {
        path ??= ModelPath.Find("models", "text", "eval.txt")
            ?? throw new UnusableInputException("the bundled text models/text/eval.txt was not found near the program; name one with --text");
        return Decode(path, Bytes(option, path));
    }

    /// <summary>A text, and the first 16 digits of what sha256sum prints for its file.</summary>
    /// <param name="option">That names the file, for messages.</param>
    /// <exception cref="UnusableInputException">There is no such file, or it is no UTF-8 text.</exception>
    public static (string Text, string Hash) ReadHashed(string option, string path)
    {
        byte[] bytes = Bytes(option, path);
        return (Decode(path, bytes), Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]);
    }

    private static byte[] Bytes(string option, string path)
    {
        var file = new FileInfo(path);
        if (Directory.Exists(path)) throw new UnusableInputException($"{path}: is a folder; {option} takes a UTF-8 text");
        if (!file.Exists) throw new UnusableInputException($"{path}: there is no such file; {option} takes a UTF-8 text");
        if (file.Length > Largest) throw new UnusableInputException($"{path}: a text of {file.Length} bytes is too long; at most {Largest} are read");
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnusableInputException($"{path}: cannot be read: {e.Message}", e);
        }
    }

    private static string Decode(string path, byte[] bytes)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes).TrimStart('\uFEFF');
        }
        catch (DecoderFallbackException e)
        {
            throw new UnusableInputException($"{path}: is not UTF-8 text (byte {e.Index}); convert it first", e);
        }
    }
}
