using System.Diagnostics;
using Nibble.Core;
using Nibble.Files;

namespace Nibble.Tests.Hostile;

/// <summary>How every hostile file must be met: one line, within a second, and nothing allocated that it merely claims.</summary>
internal static class Attack
{
    private const long MostBytes = 1 << 20, MostMilliseconds = 1000;

    /// <summary>The machine may be at work on other things for a while.</summary>
    private const int MostAttempts = 3;

    /// <summary>Opens what cannot be opened, and returns the message.</summary>
    public static string Refused(string path) => Refused(path, () => TensorFile.Open(path).Dispose());

    public static string Refused(string path, Action open)
    {
        string message = "";
        long best = long.MaxValue;
        for (int attempt = 0; attempt < MostAttempts && best > MostMilliseconds; attempt++)
        {
            var watch = Stopwatch.StartNew();
            long before = GC.GetAllocatedBytesForCurrentThread();
            message = Assert.Throws<UnusableInputException>(open).Message;
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, MostBytes);
            best = Math.Min(best, watch.ElapsedMilliseconds);
        }
        Assert.InRange(best, 0, MostMilliseconds);
        Assert.DoesNotContain(message, char.IsControl);
        Assert.Contains(Path.GetFileNameWithoutExtension(path), message, StringComparison.Ordinal);
        Assert.InRange(message.Length, 10, 600);
        return message;
    }

    /// <summary>Reads everything of a file that may or may not be damaged; only <see cref="UnusableInputException"/> is allowed.</summary>
    public static unsafe bool Survives(string path)
    {
        try
        {
            using TensorFile file = TensorFile.Open(path);
            foreach (TensorInfo tensor in file.Tensors)
            {
                byte* data = file.Data(tensor);
                long sum = 0;
                for (long i = 0; i < tensor.Bytes; i++) sum += data[i];
                if (tensor.Format is not null) Assert.Equal(tensor.Bytes, file.Load(tensor).Bytes);
            }
            return true;
        }
        catch (UnusableInputException)
        {
            return false;
        }
    }
}
