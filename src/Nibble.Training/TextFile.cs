using System.Text;
using Nibble.Core;

namespace Nibble.Training;

/// <summary>The text to train on.</summary>
internal static class TextFile
{
    private const long Largest = 1L << 30;

    /// <exception cref="UnusableInputException">There is no such file, or it is no UTF-8 text.</exception>
    public static string Read(string path)
    {
        var file = new FileInfo(path);
        if (Directory.Exists(path)) throw new UnusableInputException($"{path}: is a folder; --text takes a UTF-8 text");
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
    }
}
