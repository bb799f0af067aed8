using Nibble.Core;

namespace Nibble.Cli;

/// <summary>Finds the model that a command line means: a path, or nothing for the embedded model.</summary>
internal static class ModelPath
{
    private static readonly string[] EmbeddedModel = ["models", "nibble-5m"];

    public static string Resolve(string? argument)
    {
        if (argument is null)
            return Embedded() ?? throw new UnusableInputException(
                "the embedded model models/nibble-5m was not found near the program; name a model, or set NIBBLE_HOME to the folder that holds models/");
        if (!File.Exists(argument) && !Directory.Exists(argument))
            throw new UnusableInputException($"{argument}: there is no such file or folder; a model is a .gguf file or a Hugging Face folder");
        return argument;
    }

    /// <summary>The model's name: its folder's, or its file's without what follows the last dot.</summary>
    public static string NameOf(string path)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return Directory.Exists(full) ? Path.GetFileName(full) : Path.GetFileNameWithoutExtension(full);
    }

    /// <summary>The folder of the embedded model, or null.</summary>
    public static string? Embedded() => Find(EmbeddedModel);

    /// <summary>
    /// A file that ships with the program: below NIBBLE_HOME where that is set, else below the program's folder or the
    /// nearest folder above it (the checkout that the program was built in).
    /// </summary>
    public static string? Find(params string[] relative)
    {
        string? home = Environment.GetEnvironmentVariable("NIBBLE_HOME");
        for (DirectoryInfo? folder = new(string.IsNullOrEmpty(home) ? AppContext.BaseDirectory : home); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine([folder.FullName, .. relative]);
            if (File.Exists(candidate) || Directory.Exists(candidate)) return candidate;
        }
        return null;
    }
}
