using System.Text;

namespace Nibble.Models.Tokenizers;

/// <summary>
/// GPT-2's names for the 256 bytes (Radford et al. 2019): printable Latin-1 characters stand for themselves, the other 68
/// bytes for U+0100 and up, so that a token of any bytes is a printable string.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Names = MakeNames();
    private static readonly int[] Bytes = MakeBytes();

    /// <summary>The UTF-8 bytes of a text, each as its character.</summary>
    public static string Encode(ReadOnlySpan<char> text)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        return string.Create(bytes.Length, bytes, static (names, bytes) =>
        {
            for (int i = 0; i < names.Length; i++) names[i] = Names[bytes[i]];
        });
    }

    /// <summary>The bytes that a token stands for; a token with any other character is taken as text, as Hugging Face does.</summary>
    public static byte[] Decode(string token)
    {
        byte[] bytes = new byte[token.Length];
        for (int i = 0; i < token.Length; i++)
        {
            int value = token[i] < Bytes.Length ? Bytes[token[i]] : -1;
            if (value < 0) return Encoding.UTF8.GetBytes(token);
            bytes[i] = (byte)value;
        }
        return bytes;
    }

    private static char[] MakeNames()
    {
        char[] names = new char[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            names[b] = (char)(printable ? b : next++);
        }
        return names;
    }

    private static int[] MakeBytes()
    {
        int[] bytes = new int[Names.Max() + 1];
        Array.Fill(bytes, -1);
        for (int b = 0; b < 256; b++) bytes[Names[b]] = b;
        return bytes;
    }
}
