using TorchSharp;

namespace Nibble.Training.Tests;

/// <summary>Skips a test, and says so, where libtorch cannot be loaded.</summary>
internal static class Torch
{
    private static readonly Lazy<string?> Failure = new(Load);

    public static void Require() => Assert.SkipWhen(Failure.Value is not null, $"libtorch does not load here: {Failure.Value}");

    private static string? Load()
    {
        try
        {
            Libtorch.Prepare();
            torch.set_num_threads(1);
            return null;
        }
        catch (Exception e)
        {
            return (e.InnerException ?? e).Message.Split('\n')[0];
        }
    }
}
