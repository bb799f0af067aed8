namespace Nibble.Tests;

/// <summary>The model that comes with the project.</summary>
public static class EmbeddedModel
{
    /// <summary>The Hugging Face folder models/nibble-5m of the checkout.</summary>
    public static string Folder { get; } = Find();

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "models", "nibble-5m");
            if (File.Exists(Path.Combine(candidate, "config.json"))) return candidate;
        }
        throw new DirectoryNotFoundException("models/nibble-5m is not above the test's folder");
    }
}
