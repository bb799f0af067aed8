namespace Nibble.Tests;

/// <summary>
/// The folder shared/ beside the checkout: models, texts and golden data too large for the project. Tests that need it
/// skip, and say so, where it is missing.
/// </summary>
public static class SharedData
{
    private static readonly string? Root = FindRoot();

    /// <summary>The full path of a file or folder in shared/; skips the running test if it is not there.</summary>
    public static string Path(string relative)
    {
        string? full = Root is null ? null : System.IO.Path.Combine(Root, relative);
        Assert.SkipUnless(full is not null && (File.Exists(full) || Directory.Exists(full)), $"shared/{relative} is not beside the checkout");
        return full!;
    }

    private static string? FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = System.IO.Path.Combine(folder.FullName, "shared");
            if (File.Exists(System.IO.Path.Combine(candidate, "design.md"))) return candidate;
        }
        return null;
    }
}
